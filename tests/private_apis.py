"""Private names of torch, Hydra, Lightning, MLflow and nevergrad, and what we rely on of each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import nn


class Use(NamedTuple):
    """A private name.

    Args:
        files: by whom it is used, below the package.
        check: whether it is as they use it; an error says no, too.
    """

    files: str
    check: Callable[[], Any]


def get(path: str) -> Any:
    """The object at ``module:attribute.attribute``."""
    module, _, attributes = path.partition(":")
    found: Any = import_module(module)
    for attribute in attributes.split(".") if attributes else ():
        found = getattr(found, attribute)
    return found


def takes(path: str, *names: str) -> Callable[[], bool]:
    """Whether a function has these arguments first, in this order; ``self`` is one."""
    return lambda: tuple(inspect.signature(get(path)).parameters)[: len(names)] == names


def is_class(path: str, *children: str) -> Callable[[], bool]:
    """Whether a class has these children."""
    return lambda: all(issubclass(get(child), get(path)) for child in children)


def source_has(path: str, text: str) -> Callable[[], bool]:
    """Whether a function or class still does what we do in its place, or rely on."""
    return lambda: text in inspect.getsource(get(path))


# -- torch ------------------------------------------------------------------------------------------------------------


def splits_a_batch() -> bool:
    from torch._C import _functorch

    seen = []

    def member(row: torch.Tensor) -> torch.Tensor:
        assert _functorch.is_batchedtensor(row)
        level, place = _functorch.maybe_get_level(row), _functorch.maybe_get_bdim(row)
        seen.append(_functorch.get_unwrapped(row).movedim(place, 0))
        return _functorch._add_batch_dim(seen[0] * 2, 0, level)

    rows = torch.arange(6.0).reshape(3, 2)
    return bool((torch.vmap(member)(rows) == 2 * rows).all()) and seen[0].shape == rows.shape


def says_yes_or_no(name: str) -> Callable[[], bool]:
    return lambda: getattr(torch.cpu, name)() in (True, False)


def keeps_parts_by_name() -> bool:
    part = nn.BatchNorm1d(2)
    whole = nn.Sequential(part)
    return "_buffers" in vars(part) and (whole._modules, {*part._parameters}, {*part._buffers}) == (
        {"0": part},
        {"weight", "bias"},
        {"running_mean", "running_var", "num_batches_tracked"},
    )


def names_of_two_libraries() -> bool:
    """torch's module, and the variances of cmaes' separable CMA-ES."""
    import numpy as np
    from cmaes import SepCMA

    with torch._C.DisableTorchFunctionSubclass():
        return SepCMA(mean=np.zeros(2), sigma=0.5)._C.tolist() == [1.0, 1.0]


def keeps_extra_state() -> bool:
    class WithMore(nn.Module):
        def get_extra_state(self) -> int:
            return 1

    return WithMore().state_dict() == {"_extra_state": 1}


def keeps_hooks() -> bool:
    layer = nn.Linear(1, 1)
    layer.register_forward_hook(print)
    layer.register_forward_pre_hook(print)
    return (len(layer._forward_hooks), len(layer._forward_pre_hooks)) == (1, 1)


def counts_modes() -> bool:
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    count = lambda: (torch._C._len_torch_dispatch_stack(), torch._C._len_torch_function_stack())  # noqa: E731
    before = count()
    with TorchDispatchMode(), TorchFunctionMode():
        return tuple(after - once for after, once in zip(count(), before, strict=True)) == (1, 1)


def sees_writes() -> bool:
    first = torch.ops.aten.add_.Tensor._schema.arguments[0]
    return first.alias_info.is_write and torch.ops.aten.add.Tensor._schema.arguments[0].alias_info is None


def leaves_modes() -> bool:
    from torch.utils import _python_dispatch

    class Refusing(_python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            raise AssertionError(func)

    with Refusing(), _python_dispatch._disable_current_modes():
        return bool(torch.zeros(1) == 0)


def maps_trees() -> bool:
    from torch.utils import _pytree

    tree = {"a": 1, "b": (2, [3])}
    leaves, form = _pytree.tree_flatten(tree)
    same = form == _pytree.tree_structure(tree) and _pytree.tree_leaves(tree) == leaves == [1, 2, 3]
    return same and _pytree.tree_map(lambda leaf: leaf, tree) == _pytree.tree_unflatten(leaves, form) == tree


BATCH_NORMS = [f"torch.nn:BatchNorm{n}d" for n in (1, 2, 3)]
INSTANCE_NORMS = [f"torch.nn:InstanceNorm{n}d" for n in (1, 2, 3)]
CONVOLUTIONS = [f"torch.nn:Conv{n}d" for n in (1, 2, 3)]
DROPOUTS = ["torch.nn:Dropout", "torch.nn:Dropout2d", "torch.nn:AlphaDropout", "torch.nn:FeatureAlphaDropout"]
TORCH = {
    **dict.fromkeys(
        [
            f"torch._C._functorch.{name}"
            for name in ("_add_batch_dim", "get_unwrapped", "is_batchedtensor", "maybe_get_bdim", "maybe_get_level")
        ],
        Use("engine/low_rank.py", splits_a_batch),
    ),
    "_make_subclass": Use("engine/low_rank.py", lambda: torch.Tensor._make_subclass(nn.Parameter, torch.ones(2)).sum()),
    "_C": Use("engine/low_rank.py engine/forward.py hybridopt_cma/sep_cma_es.py", names_of_two_libraries),
    "_len_torch_dispatch_stack": Use("engine/forward.py", counts_modes),
    "_len_torch_function_stack": Use("engine/forward.py", counts_modes),
    "_forward_hooks": Use("engine/forward.py", keeps_hooks),
    "_forward_pre_hooks": Use("engine/forward.py", keeps_hooks),
    "_modules": Use("engine/modes.py engine/named.py engine/stage.py", keeps_parts_by_name),
    "_parameters": Use("engine/buffers.py engine/stage.py engine/weights.py", keeps_parts_by_name),
    "_buffers": Use(
        "engine/buffers.py engine/modes.py engine/precision.py engine/stage.py engine/threads.py "
        "strategies/evolution_strategies/novelty.py",
        keeps_parts_by_name,
    ),
    "_is_avx512_bf16_supported": Use("engine/precision.py", says_yes_or_no("_is_avx512_bf16_supported")),
    "_is_amx_tile_supported": Use("engine/precision.py", says_yes_or_no("_is_amx_tile_supported")),
    "torch.nn.modules.batchnorm._BatchNorm": Use(
        "engine/normalisation.py", is_class("torch.nn.modules.batchnorm:_BatchNorm", *BATCH_NORMS)
    ),
    "torch.nn.modules.batchnorm._NormBase": Use(
        "engine/modes.py engine/normalisation.py",
        is_class("torch.nn.modules.batchnorm:_NormBase", *BATCH_NORMS, *INSTANCE_NORMS),
    ),
    "torch.nn.modules.dropout._DropoutNd": Use(
        "engine/modes.py", is_class("torch.nn.modules.dropout:_DropoutNd", *DROPOUTS)
    ),
    "_ConvNd": Use("objectives/flops.py", is_class("torch.nn.modules.conv:_ConvNd", *CONVOLUTIONS)),
    "torch.utils._python_dispatch.TorchDispatchMode": Use(
        "engine/in_place.py engine/memory.py engine/workload.py testing/effects.py testing/tracing.py", leaves_modes
    ),
    "torch.utils._python_dispatch._disable_current_modes": Use("engine/memory.py", leaves_modes),
    "torch.utils._pytree.tree_flatten": Use("engine/in_place.py", maps_trees),
    "torch.utils._pytree.tree_leaves": Use("engine/trees.py", maps_trees),
    "torch.utils._pytree.tree_map": Use("engine/derivatives.py engine/trees.py", maps_trees),
    "torch.utils._pytree.tree_structure": Use("engine/trees.py", maps_trees),
    "torch.utils._pytree.tree_unflatten": Use("engine/in_place.py engine/trees.py", maps_trees),
    "_extra_state": Use("engine/buffers.py", keeps_extra_state),
    "_schema": Use("testing/effects.py", sees_writes),
}  # fmt: skip

# -- Hydra and OmegaConf ----------------------------------------------------------------------------------------------


def nodes_tell_what_they_are() -> bool:
    from omegaconf import OmegaConf

    config = OmegaConf.create({"a": None, "b": "???", "c": "${a}", "d": {}})
    found = config._get_node("b"), config._get_node("c"), config._get_node("d")
    return (
        found[0]._is_missing()
        and found[1]._is_interpolation()
        and not found[2]._is_none()
        and found[1]._value() == "${a}"
        and config._get_node("e") is None
    )


REPOSITORY = "hydra._internal.config_repository"
LOADER = "hydra._internal.config_loader_impl"
HYDRA = {
    "hydra._internal.hydra": Use(
        "composition/loader.py", source_has("hydra._internal.hydra:Hydra.create_main_hydra2", "ConfigLoaderImpl(")
    ),
    f"{LOADER}.ConfigLoaderImpl": Use(
        "composition/loader.py",
        takes(f"{LOADER}:ConfigLoaderImpl.load_sweep_config", "self", "master_config", "sweep_overrides"),
    ),
    f"{LOADER}.get_overrides_dirname": Use(
        "composition/templates.py",
        takes(f"{LOADER}:get_overrides_dirname", "overrides", "exclude_keys", "item_sep", "kv_sep"),
    ),
    f"{REPOSITORY}.ConfigRepository": Use(
        "composition/shipped.py",
        takes(f"{REPOSITORY}:ConfigRepository.initialize_sources", "self", "config_search_path"),
    ),
    "_find_object_source": Use(
        "composition/shipped.py",
        takes(f"{REPOSITORY}:ConfigRepository._find_object_source", "self", "config_path", "object_type"),
    ),
    "hydra._internal.core_plugins.file_config_source.FileConfigSource": Use(
        "composition/config_source.py",
        takes("hydra._internal.core_plugins.file_config_source:FileConfigSource", "provider", "path"),
    ),
    **dict.fromkeys(
        ["_get_node", "_is_interpolation", "_is_missing", "_is_none", "_value"],
        Use("composition/shipped.py", nodes_tell_what_they_are),
    ),
}  # fmt: skip

# -- Lightning, MLflow, nevergrad -------------------------------------------------------------------------------------


def trainers_know_their_loaders() -> bool:
    from pytorch_lightning import LightningModule, Trainer

    loop = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False).fit_loop
    return LightningModule()._trainer is None and hasattr(loop._data_source, "instance")


def clients_have_stores() -> bool:
    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    client = MlflowClient("http://127.0.0.1:9")  # which is not asked
    return client._tracking_client.store is not None and "ManagedSessionMaker" in inspect.getsource(SqlAlchemyStore)


def swarms_and_cmas_have_settings() -> bool:
    import nevergrad
    from nevergrad.optimization.optimizerlib import _CMA, _PSO

    cma, swarm = (nevergrad.optimizers.registry[name](2, 10) for name in ("DiagonalCMA", "RealSpacePSO"))
    told = (cma._config.diagonal, cma._config.fcmaes, swarm._config.transform) == (True, False, "identity")
    return (
        told and isinstance(cma, _CMA) and isinstance(swarm, _PSO) and cma._es is None and isinstance(_CMA.es, property)
    )


OPTIMIZER = "pytorch_lightning.core.optimizer:LightningOptimizer"
NEVERGRAD = "strategies/metaheuristics/nevergrad.py"
OTHERS = {
    "_data_source": Use("execution/feeding.py", trainers_know_their_loaders),
    "_trainer": Use("execution/trial.py", trainers_know_their_loaders),
    "_on_before_step": Use("execution/fastpath.py", source_has(f"{OPTIMIZER}.step", "self._on_before_step()")),
    "_on_after_step": Use("execution/fastpath.py", source_has(f"{OPTIMIZER}.step", "self._on_after_step()")),
    "pytorch_lightning.strategies.launchers._MultiProcessingLauncher": Use(
        "execution/trainers.py", source_has("pytorch_lightning.strategies:DDPStrategy", "_MultiProcessingLauncher(")
    ),
    "_tracking_client": Use("tracking/tables.py", clients_have_stores),
    **dict.fromkeys(
        ["nevergrad.optimization.optimizerlib._CMA", "nevergrad.optimization.optimizerlib._PSO", "_config", "_es"],
        Use(NEVERGRAD, swarms_and_cmas_have_settings),
    ),
}  # fmt: skip
