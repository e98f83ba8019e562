"""Sweeps: many jobs by one command, that can be stopped, repeated and trusted.

* :mod:`~hybridopt.sweep.plan`: overrides become jobs, each with a fingerprint and a directory
* :mod:`~hybridopt.sweep.controls`: the same jobs without one of a hybrid's parts
* :mod:`~hybridopt.sweep.grid`: the sweeper that runs what has not finished yet
* :mod:`~hybridopt.sweep.tuning`: the sweeper that searches good settings for each strategy first
* :mod:`~hybridopt.sweep.session`: a sweep that goes on: jobs are launched and accounted for
* :mod:`~hybridopt.sweep.space`, :mod:`~hybridopt.sweep.trials`, :mod:`~hybridopt.sweep.tuner`: what is searched, the
  trials that search it, and their jobs
* :mod:`~hybridopt.sweep.parent`: the sweep's own run in MLflow, and what jobs read of it
* :mod:`~hybridopt.sweep.watch`: progress while it runs
* :mod:`~hybridopt.sweep.board`: what became of its jobs, and the table at its end
* :mod:`~hybridopt.sweep.names`, :mod:`~hybridopt.sweep.failing`: what jobs are called in MLflow, and the runs of those
  that were refused
* :mod:`~hybridopt.sweep.preview`: what a sweep would cost

Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

from hybridopt.composition.schema import SWEEPERS
from hybridopt.sweep.grid import GridSweeper
from hybridopt.sweep.tuning import TuningSweeper


def register(**more: type[Sweeper]) -> None:
    """Make the sweepers known to Hydra, as ``hydra/sweeper=hybridopt`` and ``hydra/sweeper=optuna``, and ``more``.

    Hydra builds sweepers from the package ``hydra_plugins`` alone, which it scans and imports at each start, and which
    it does not find in an editable install: so ours get a name there, and stay here.
    """
    plugins = Plugins.instance()
    for name, sweeper in {"hybridopt": GridSweeper, "optuna": TuningSweeper, **more}.items():
        plugins.register(sweeper)
        plugins.class_name_to_class[SWEEPERS[name]._target_] = sweeper
