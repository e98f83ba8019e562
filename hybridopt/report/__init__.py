"""The report on a sweep: who won at equal cost, and how sure that is.

* :mod:`~hybridopt.report.runs`: runs read back from MLflow, as a table of results
* :mod:`~hybridopt.report.interval`: an estimate with its interval
* :mod:`~hybridopt.report.means`: tests of the mean of paired differences
* :mod:`~hybridopt.report.statistics`: other intervals, and effect sizes
* :mod:`~hybridopt.report.verdict`: what they say, in sentences
* :mod:`~hybridopt.report.caveats`: threats to the validity of the comparison
* :mod:`~hybridopt.report.conditions`: what was run, and how
* :mod:`~hybridopt.report.pictures`: curves over cost, profiles, ranks
* :mod:`~hybridopt.report.page`: all of it as Markdown and HTML
* :mod:`~hybridopt.report.make`: from a sweep's name to its report
"""
