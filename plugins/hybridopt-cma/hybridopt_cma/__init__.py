"""CMA-ES for hybridopt, through pycma (https://github.com/CMA-ES/pycma) and cmaes (https://github.com/CyberAgentAILab/cmaes)."""
