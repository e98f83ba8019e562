"""Which tracking store the config of a run names: as it is written down, and as far as a directory may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridopt.toolbox.credentials import hide
from hybridopt.tracking.trust import is_trusted


def with_masked_store(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config as it is written and reported: the store's credentials are known, and in none of it."""
    tracking = config["tracking"]
    return config if not tracking.get("uri") else {**config, "tracking": {**tracking, "uri": hide(tracking["uri"])}}


def trusting(uri: str | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a directory, with the tracking store that the user names; its own counts if it is the user's."""
    tracking = dict(config.get("tracking") or {})
    if "uri" not in tracking or (uri is None and tracking["uri"] and is_trusted(tracking["uri"])):
        return dict(config)
    return {**config, "tracking": tracking | {"uri": uri}}
