"""Studies: claims that are tested by experiment, by a rule that is fixed beforehand.

For whoever writes a study (:class:`hybridopt.Study`):

* :mod:`~hybridopt.study.comparing`: arms by pairs, with Holm's correction, and whether they are equally good
* :mod:`~hybridopt.study.leading`: whether one arm of a camp is better than all of another
* :mod:`~hybridopt.study.scaling`: exponents with intervals
* :mod:`~hybridopt.study.reaching`: success rates, expected costs to a target, and the log-rank test
* :mod:`~hybridopt.study.network`: losses and gradients of a network as functions of one vector
* :mod:`~hybridopt.study.succeeding`: success rates, compared
* :mod:`~hybridopt.study.functions`: test functions, and searches on them
* :mod:`~hybridopt.study.critical_points`: saddles and minima, in theory and by search
* :mod:`~hybridopt.study.interpolating`: the losses between two networks
* :mod:`~hybridopt.study.many_starts`: textbook methods from many starts at once
* :mod:`~hybridopt.study.surrogates`: black boxes that are minimised in few calls
* :mod:`~hybridopt.study.tickets`: small networks that are pruned
* :mod:`~hybridopt.study.training`: modules that strategies train without a Trainer
* :mod:`~hybridopt.study.made_up_sweeps`: sweeps whose truth is known, as the report judges them
* :mod:`~hybridopt.study.memory`: how far the memory of a process grows
* :mod:`~hybridopt.study.suites`, :mod:`~hybridopt.study.standings`: named tasks, and ranks over them
* :mod:`~hybridopt.study.stored`: results that are shipped
* :mod:`~hybridopt.study.steps`: how far single steps of a network descend
* :mod:`~hybridopt.study.processes`, :mod:`~hybridopt.study.cluster`: what sharing out takes, measured and modelled
* :mod:`~hybridopt.study.drawing`: figures

How they are run:

* :mod:`~hybridopt.study.finding`: studies by name
* :mod:`~hybridopt.study.sweeper`, :mod:`~hybridopt.study.running`: a study as a sweep
* :mod:`~hybridopt.study.cells`: what is computed and trains nothing
* :mod:`~hybridopt.study.collecting`, :mod:`~hybridopt.study.keeping`: results, and their file
* :mod:`~hybridopt.study.page`: the page

Nothing heavy is imported before it is needed.
"""
