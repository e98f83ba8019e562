"""Private names of the libraries that packages in plugins/ wrap, and what we rely on of each."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from private_apis import Use


def separable_cma_has_its_axes() -> bool:
    import numpy as np
    from cmaes import SepCMA

    optimizer = SepCMA(mean=np.zeros(2), sigma=0.5)
    unused = {"_funhist_values", "_rng"} <= vars(optimizer).keys()
    return unused and optimizer._sigma == 0.5 and len(optimizer._eigen_decomposition()) == len(optimizer._D) == 2


def cma_counts_its_stagnation() -> bool:
    from cma import CMAEvolutionStrategy

    return hasattr(CMAEvolutionStrategy([0.0, 0.0], 1.0, {"verbose": -9}), "_stoptolxstagnation")


def searchers_have_distributions() -> bool:
    from evotorch import Problem
    from evotorch.algorithms import PGPE

    problem = Problem("min", lambda x: x.sum(), solution_length=2, initial_bounds=(-1, 1), num_actors=0)
    searcher = PGPE(problem, popsize=4, center_learning_rate=0.1, stdev_learning_rate=0.1, stdev_init=0.1)
    return (
        (searcher._popsize, searcher._ranking_method, searcher._steps_count) == (4, "centered", 0)
        and searcher._distribution is not None
        and hasattr(searcher._optimizer, "_velocity")
        and callable(searcher._update_distribution)
    )


def archives_have_fields() -> bool:
    import numpy as np
    from ribs.archives import GridArchive
    from ribs.emitters import EvolutionStrategyEmitter, GradientArborescenceEmitter

    archive = GridArchive(solution_dim=2, dims=[2], ranges=[(0, 1)], seed=1)
    store, start = archive._store, np.zeros(2)
    emitter = EvolutionStrategyEmitter(archive, x0=start, sigma0=1.0, batch_size=4)
    climbing = GradientArborescenceEmitter(archive, x0=start, sigma0=1.0, lr=0.1, batch_size=4)
    return (
        {"objective", "solution"} <= store._fields.keys()
        and {"n_occupied", "occupied", "occupied_list"} <= store._props.keys()
        and all(hasattr(part, "_rng") for part in (archive, emitter._opt, emitter._ranker))
        and {"_itrs", "_restarts"} <= vars(emitter).keys()
        and hasattr(emitter._opt, "_solutions")
        and hasattr(climbing, "_grad_opt")
    )


def adapters_leave_a_mark() -> bool:
    from transformers.integrations.peft import PeftAdapterMixin

    return PeftAdapterMixin._hf_peft_config_loaded is False


def folders_say_of_which_files_they_are() -> bool:
    from datasets import Dataset

    with TemporaryDirectory() as folder:
        Dataset.from_dict({"a": [1]}).save_to_disk(folder)
        return "_data_files" in json.loads((Path(folder) / "state.json").read_text(encoding="utf-8"))


def genes_tell_their_attributes() -> bool:
    from neat.genes import DefaultConnectionGene

    return "weight" in {attribute.name for attribute in DefaultConnectionGene._gene_attributes}


PACKAGES = {
    "_stoptolxstagnation": Use("hybridopt_cma/pycma.py", cma_counts_its_stagnation),
    "_funhist_values": Use("hybridopt_cma/sep_cma_es.py", separable_cma_has_its_axes),
    "_D": Use("hybridopt_cma/sep_cma_es.py", separable_cma_has_its_axes),
    "_sigma": Use("hybridopt_cma/sep_cma_es.py", separable_cma_has_its_axes),
    "_eigen_decomposition": Use("hybridopt_cma/sep_cma_es.py", separable_cma_has_its_axes),
    **dict.fromkeys(
        ["_popsize", "_ranking_method", "_steps_count", "_update_distribution", "_velocity", "_optimizer"],
        Use("hybridopt_evotorch/drivers.py", searchers_have_distributions),
    ),
    "_rng": Use(
        "hybridopt_cma/sep_cma_es.py hybridopt_pyribs/library.py",
        lambda: separable_cma_has_its_axes() and archives_have_fields(),
    ),
    "_fields": Use("hybridopt_pyribs/archive.py", archives_have_fields),
    "_props": Use("hybridopt_pyribs/archive.py", archives_have_fields),
    "_store": Use("hybridopt_pyribs/archive.py", archives_have_fields),
    **dict.fromkeys(
        ["_ranker", "_grad_opt", "_opt", "_itrs", "_restarts", "_solutions"],
        Use("hybridopt_pyribs/library.py", archives_have_fields),
    ),
    "_hf_peft_config_loaded": Use("hybridopt_transformers/lora.py", adapters_leave_a_mark),
    "_data_files": Use("hybridopt_huggingface/source.py", folders_say_of_which_files_they_are),
    "_gene_attributes": Use("hybridopt_neat/evolution.py", genes_tell_their_attributes),
}
