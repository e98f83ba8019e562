"""evosax' OpenAI-ES on JAX, as a contender of `bench_peers.py`.

It is compiled before anything is timed, and a call makes several generations in one scan, so that what a call costs
besides is shared among them. JAX is given as many CPU threads as torch has, once, when it starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from peers import LR, SIGMA, Contender, Task
from torch import Tensor, nn

GENERATIONS = 10  # of a call

Layers = list[tuple[Any, Any]]  # weights (inputs, outputs) and biases (outputs,)


def evosax_openes(generator: str) -> Callable[[Task], Contender]:
    """evosax' Open_ES, with one of JAX's random generators."""

    def enter(task: Task) -> Contender:
        threads = torch.get_num_threads()
        os.environ.setdefault("PJRT_NPROC", str(threads))  # read once; without it JAX takes all cores
        import jax

        jax.config.update("jax_cpu_enable_async_dispatch", False)  # else it frees memory in the next contender's time
        import optax  # what starts JAX: its settings are made by now
        from evosax.algorithms import Open_ES

        if jax.default_backend() != {"cuda": "gpu"}.get(task.device.type, task.device.type):
            raise ModuleNotFoundError(f"the installed JAX computes on {jax.default_backend()}", name="jax")
        start = [(array(layer.weight.T), array(layer.bias)) for layer in task.model if isinstance(layer, nn.Linear)]
        losses = jax.vmap(network_loss(array(task.batch[0].flatten(1)), array(task.batch[1])))
        adam, sigma = optax.adam(LR), optax.constant_schedule(SIGMA)
        algorithm = Open_ES(task.popsize, start, optimizer=adam, std_schedule=sigma)
        params = algorithm.default_params

        def generation(state: Any, key: Any) -> tuple[Any, None]:
            ask, tell = jax.random.split(key)
            population, state = algorithm.ask(ask, state, params)
            return algorithm.tell(tell, population, losses(population), state, params)[0], None

        def several(state: Any, key: Any) -> tuple[Any, Any]:
            key, now = jax.random.split(key)
            return jax.lax.scan(generation, state, jax.random.split(now, GENERATIONS))[0], key

        key = jax.random.key(0, impl=generator)
        carried = algorithm.init(key, start, params), key
        compiled = jax.jit(several).lower(*carried).compile()

        def case() -> None:
            nonlocal carried
            carried = jax.block_until_ready(compiled(*carried))

        def loss() -> float:
            mean = algorithm.get_mean(carried[0])
            return float(losses(jax.tree.map(lambda value: value[None], mean))[0])

        return Contender(case, loss, GENERATIONS, threads)

    return enter


def network_loss(inputs: Any, targets: Any) -> Callable[[Layers], Any]:
    """The mean cross-entropy of a multi-layer perceptron on a batch: inputs (B, features) and classes (B,)."""
    import jax
    import optax

    def loss(layers: Layers) -> Any:
        *hidden, (weight, bias) = layers
        values = inputs
        for w, b in hidden:
            values = jax.nn.relu(values @ w + b)
        return optax.softmax_cross_entropy_with_integer_labels(values @ weight + bias, targets).mean()

    return loss


def array(tensor: Tensor) -> Any:
    """A tensor as an array of JAX."""
    import jax.numpy as jnp

    return jnp.array(tensor.detach().cpu().numpy())
