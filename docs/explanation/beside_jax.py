"""rlhfsim's training steps beside the same work in JAX: the table of speed.md.

    pip install "jax[cpu]==0.10.2"
    python docs/explanation/beside_jax.py            # from the repository's root, about five minutes
    python docs/explanation/beside_jax.py dpo-512    # one row

Both run on one core, in float64, in turns; what is compared is processor time. Of the ways to write a
row in JAX the fastest counts. JAX measures its loss only, in PPO the mean score.
"""
import os, statistics, subprocess, sys, tempfile, time

if hasattr(os, "sched_setaffinity"):  # before JAX makes its threads
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
import jax, jax.numpy as jnp, numpy as np
from jax import lax

jax.config.update("jax_enable_x64", True)

PROMPTS, WORDS, LENGTH = 8, 24, 6  # the chapter's shape: one word of context, 25 outcomes
OUTCOMES = CONTEXTS = WORDS + 1    # EOS, and the start
ROWS = PROMPTS * CONTEXTS
rng = np.random.default_rng(0)
LOGITS = jnp.asarray(rng.normal(0, 0.5, (ROWS, OUTCOMES)))


def adam(rate):
    """Adam over a tree of tables (Kingma and Ba 2015), β = 0.9, 0.999, ε = 1e-8."""
    def init(p):
        zeros = jax.tree.map(jnp.zeros_like, p)
        return zeros, zeros, jnp.float64(1), jnp.float64(1)

    def update(p, state, g):
        m, v, b1, b2 = state
        b1, b2 = b1 * 0.9, b2 * 0.999
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        p = jax.tree.map(lambda p, m, v: p - rate * (m / (1 - b1)) / (jnp.sqrt(v / (1 - b2)) + 1e-8), p, m, v)
        return p, (m, v, b1, b2)
    return init, update


def responses(n):
    """n random responses of 1 to 6 words: cell of each token in the flat table, and the mask."""
    cells, mask = np.zeros((n, LENGTH), np.int32), np.zeros((n, LENGTH))
    prompt = rng.integers(0, PROMPTS, n)
    for i in range(n):
        words = list(rng.integers(0, WORDS, rng.choice([1, 2, 3, 4, 5, 6], p=[.08, .17, .25, .22, .16, .12])))
        context = 0
        for t, w in enumerate((words + [WORDS])[:LENGTH]):
            cells[i, t], mask[i, t] = (prompt[i] * CONTEXTS + context) * OUTCOMES + w, 1
            context = w + 1
    return cells, mask


def dpo(batch):
    """Steps of DPO on random pairs, one log_softmax of the table a step (Rafailov et al. 2023, equation 7)."""
    n, steps, beta = 4096, {64: 3000, 512: 600, 4096: 100}[batch], 0.1
    chosen, rejected = responses(n), responses(n)
    cells = jnp.asarray(np.concatenate([chosen[0], rejected[0]], 1))
    sign = jnp.asarray(np.concatenate([chosen[1], -rejected[1]], 1))
    reference = (jax.nn.log_softmax(LOGITS).ravel()[cells] * sign).sum(1)
    order = np.concatenate([rng.permutation(n) for _ in range(steps * batch // n + 1)])[:steps * batch].reshape(steps, batch)
    init, update = adam(0.05)

    def loss(z, cells, sign, reference):
        margin = (jax.nn.log_softmax(z).ravel()[cells] * sign).sum(1) - reference
        return -jax.nn.log_sigmoid(beta * margin).mean()

    def train(look):
        def step(carry, x):
            value, g = jax.value_and_grad(loss)(carry[0], *look(x))
            return update(carry[0], carry[1], g), value
        return jax.jit(lambda z, xs: lax.scan(step, (z, init(z)), xs))
    gather = train(lambda ix: (cells[ix], sign[ix], reference[ix])), jnp.asarray(order)
    ahead = train(lambda x: x), (cells[order], sign[order], reference[order])  # batches laid out before
    return [(lambda f=f, xs=xs: f(LOGITS, xs), steps * batch) for f, xs in (gather, ahead)]


def ppo(episodes):
    """Updates of PPO: rollout, k1 in the reward, GAE, whitening, four epochs of one minibatch, value head."""
    updates = {64: 1000, 512: 200}[episodes]
    prompt = jnp.asarray(np.arange(episodes) % PROMPTS, jnp.int32)
    worth = jnp.asarray(np.concatenate([rng.normal(0, 1, WORDS), [0]]))
    reference = jax.nn.log_softmax(LOGITS).ravel()
    init, step = adam(0.02)

    def scan_row(cdf, row, u):
        return jnp.minimum((cdf[row] < u[:, None]).sum(-1), WORDS).astype(jnp.int32)

    def bisect(cdf, row, u):
        w, flat = jnp.zeros(episodes, jnp.int32), cdf.ravel()
        for half in (16, 8, 4, 2, 1):
            up = w + half
            w = jnp.where((up <= WORDS) & (flat[row * OUTCOMES + jnp.minimum(up, WORDS) - 1] < u), up, w)
        return w

    def rollout(logp, key, sample):
        cdf, u = jnp.cumsum(jnp.exp(logp), -1), jax.random.uniform(key, (LENGTH, episodes))
        context, alive, out = jnp.zeros(episodes, jnp.int32), jnp.ones(episodes, bool), []
        for t in range(LENGTH):
            row = prompt * CONTEXTS + context
            w = sample(cdf, row, u[t])
            out.append((row, row * OUTCOMES + w, alive))
            alive, context = alive & (w < WORDS), jnp.where(w < WORDS, w + 1, 0)
        return (jnp.stack(x) for x in zip(*out))

    def update(carry, key, sample):
        (z, v), state = carry
        logp = jax.nn.log_softmax(z)
        row, cell, mask = rollout(logp, key, sample)
        mask = mask.astype(z.dtype)
        old, value, n = logp.ravel()[cell], v[row] * mask, mask.sum()
        score = (worth[cell % OUTCOMES] * mask).sum(0)
        last = mask * (1 - jnp.concatenate([mask[1:], jnp.zeros((1, episodes))]))
        reward = -0.05 * (old - reference[cell]) * mask + last * score
        gae, g, following = [], jnp.zeros(episodes), jnp.zeros(episodes)
        for t in reversed(range(LENGTH)):
            g = reward[t] + following - value[t] + 0.95 * g
            gae.append(g)
            following = value[t]
        gae = jnp.stack(gae[::-1]) * mask
        returns, mean = gae + value, gae.sum() / n
        a = (gae - mean) * lax.rsqrt(((gae - mean) ** 2 * mask).sum() / (n - 1) + 1e-8) * mask

        def loss(p):
            ratio = jnp.exp((jax.nn.log_softmax(p[0]).ravel()[cell] - old) * mask)
            now = p[1][row]
            near = jnp.clip(now, value - 0.2, value + 0.2)
            policy = jnp.maximum(-a * ratio, -a * jnp.clip(ratio, 0.8, 1.2))
            return ((policy + 0.05 * jnp.maximum((now - returns) ** 2, (near - returns) ** 2)) * mask).sum() / n
        p = z, v
        for _ in range(4):
            p, state = step(p, state, jax.grad(loss)(p))
        return (p, state), score.mean()

    def train(sample, bits):
        keys = jax.random.split(jax.random.key(0, impl=bits), updates)
        f = jax.jit(lambda p, keys: lax.scan(lambda c, k: update(c, k, sample), (p, init(p)), keys))
        return lambda: f((LOGITS, jnp.zeros(ROWS)), keys), updates * episodes
    return [train(sample, bits) for sample in (scan_row, bisect) for bits in ("threefry2x32", "rbg")]


def chapter(gradient):
    """The chapter's loss of two rows of 50,257 logits: the mean over the vocabulary."""
    policy, reference = (jnp.asarray(rng.normal(0, 2, (2, 50257))) for _ in range(2))

    def by_softmax(p, r):
        p, r = jax.nn.log_softmax(p).mean(-1), jax.nn.log_softmax(r).mean(-1)
        return -jax.nn.log_sigmoid(0.1 * ((p[0] - p[1]) - (r[0] - r[1])))

    def by_logsumexp(p, r):
        p, r = (x.mean(-1) - jax.nn.logsumexp(x, -1) for x in (p, r))
        return -jax.nn.log_sigmoid(0.1 * ((p[0] - p[1]) - (r[0] - r[1])))
    fs = [jax.jit(jax.value_and_grad(f) if gradient else f) for f in (by_softmax, by_logsumexp)]
    return [(lambda f=f: [f(policy, reference) for _ in range(20)], 20) for f in fs]


ROWS_OF_THE_TABLE = {  # name: JAX, package, benchmarks with their kinds, items a step, steps
    **{f"dpo-{n}": (lambda n=n: dpo(n), "dpo", {k: f"BenchmarkStep$/batch={n}$/^{k}$" for k in ("unmeasured", "measured")}, n, s)
       for n, s in ((64, 30000), (512, 15000), (4096, 2500))},
    **{f"ppo-{n}": (lambda n=n: ppo(n), "ppo", {"measured": f"BenchmarkStep$/episodes={n}$"}, n, s) for n, s in ((64, 5000), (512, 1200))},
    "chapter": (lambda: chapter(False), "dpo", {"forward": "BenchmarkTextbook/forward$"}, 1, 1500),
    "chapter-gradient": (lambda: chapter(True), "dpo", {"with gradient": "BenchmarkTextbook/forward_and_gradient$"}, 1, 1000),
}


def jax_rate(variants, seconds=0.5):
    """Items per second of processor time, of the fastest variant."""
    rates = []
    for f, items in variants:
        jax.block_until_ready(f())  # compile
        begin, n = time.process_time(), 0
        while time.process_time() - begin < seconds:
            jax.block_until_ready(f())
            n += 1
        rates.append(items * n / (time.process_time() - begin))
    return max(rates)


def go_rate(binary, package, bench, items, steps):
    """The same of a benchmark: what it takes for so many steps, less what it takes for one."""
    def seconds(n):
        before = os.times()
        subprocess.run([binary, "-test.run", "^$", "-test.bench", bench, "-test.benchtime", f"{n}x"], cwd=package, stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system
    return items * steps / (seconds(steps + 1) - seconds(1))


def main():
    rows = sys.argv[1:] or list(ROWS_OF_THE_TABLE)
    if unknown := [r for r in rows if r not in ROWS_OF_THE_TABLE]:
        sys.exit(f"no row {unknown[0]}; there are {', '.join(ROWS_OF_THE_TABLE)}")
    with tempfile.TemporaryDirectory() as folder:
        for package in ("dpo", "ppo"):
            subprocess.run(["go", "test", "-c", "-o", os.path.join(folder, package), "./" + package], check=True)
        for row in rows:
            build, package, kinds, items, steps = ROWS_OF_THE_TABLE[row]
            variants = build()
            jax_rate(variants, 0.1)
            ours, theirs = {k: [] for k in kinds}, []
            for _ in range(5):
                before = jax_rate(variants)
                for kind, bench in kinds.items():
                    ours[kind].append(go_rate(os.path.join(folder, package), package, bench, items, steps))
                theirs.append((before + jax_rate(variants)) / 2)
            for kind in kinds:
                ratios = [a / b for a, b in zip(ours[kind], theirs)]
                print(f"{row:17} {kind:13} ours {statistics.median(ours[kind]):10.4g}/s   JAX {statistics.median(theirs):10.4g}/s   "
                      f"ratio {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]", flush=True)


if __name__ == "__main__":
    main()
