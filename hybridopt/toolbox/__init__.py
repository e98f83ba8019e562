"""Parts that several plugins share; public, as the contracts are.

- Settings: ``ranges`` refuses what is out of range, ``messages`` names the choices, ``schedule`` maps progress to a
  step size.
- Searches: ``fitness`` (failures, ranks, averages), ``descent`` (along estimated gradients, also of whole populations),
  ``selection`` (crossover), ``starts`` (populations of first weights), ``annealing``.
- Gradient methods: ``gradient``, ``masking``.
- Strategies around others: ``wrapper``; foreign code with threads of its own: ``daemon``.
- Data sets: ``splits``, ``files``, ``tables``, ``data``.
- Objectives: ``metrics``, ``margins``.
- Pictures: ``figures``; what only some installations have: ``extras``.
- URIs with passwords: ``credentials``.
- Plugins and settings with another name than before: ``deprecation``.
"""
