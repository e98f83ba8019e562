import hydra
from hydra.core.config_store import ConfigStore
from hybridopt.config_source import register
from dataclasses import dataclass, field
from typing import Any

@dataclass
class Config:
    model: Any = None
    dataset: Any = None
    objective: Any = None
    encoding: Any = None
    strategy: Any = None
    budget: Any = None
    trainer: Any = None
    tracking: Any = None
    seed: int = 0

@hydra.main(version_base="1.3", config_path="pkg://hybridopt.conf", config_name="config")
def _main(cfg):
    print(cfg)

def main():
    ConfigStore.instance().store("schema", Config)
    register()
    _main()
