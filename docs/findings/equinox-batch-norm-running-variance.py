"""equinox 0.13.8: in mode "batch", BatchNorm divides a running variance that starts at 1 as if it started at 0.

After k training steps inference divides the running statistics by 1 - momentum^k, which takes the start away
where that is 0. The mean's is, the variance's is 1, and adds momentum^k / (1 - momentum^k) to it: 9 after one
step with momentum 0.9. See also https://github.com/patrick-kidger/equinox/issues/955.

    python docs/findings/equinox-batch-norm-running-variance.py
"""

import equinox as eqx
import jax
import jax.numpy as jnp

print(f"equinox {eqx.__version__}, jax {jax.__version__}")
x = jax.random.normal(jax.random.key(0), (1000, 1))
print(f"variance of the data {x.var():.3f}, of which inference should make 1")
for steps in (1, 2, 5, 10, 20, 50, 100):
    norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(1, "batch", momentum=0.9, mode="batch")
    for _ in range(steps):
        _, state = jax.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)
    still = eqx.nn.inference_mode(norm)
    y, _ = jax.vmap(still, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)
    print(f"after {steps} training steps inference normalizes it to variance {jnp.var(y):.3f}")
