"""Buffers that come and go."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class LateBuffers(nn.Module):
    """A module that takes its buffers as a checkpoint has them, whatever their shape, and whether they exist by now.

    Strategies and encodings make their state when they begin, grow it, and in a hybrid do so at different
    times; plain modules would refuse such a checkpoint.
    """

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for key, value in state_dict.items():
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and self._is_buffer(name, value):
                here = self._buffers.get(name)
                self.register_buffer(name, value.clone().to(value.device if here is None else here.device))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _is_buffer(self, name: str, value: Any) -> bool:
        own = "." not in name and name != "_extra_state" and name not in self._parameters
        return own and isinstance(value, Tensor)
