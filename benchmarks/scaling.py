"""What the autoscaler makes of loads, beside a fixed number of instances: waits and costs, simulated.

    python -m benchmarks.scaling

Each task takes four seconds, an instance two until it works; twenty minutes each.
"""

from mcp_server.domain.agents.commands import ScalingSpec
from tests.domain.scaling.simulation import LOADS, Result, simulate

POLICY = ScalingSpec(min=0, max=12, target_ready_per_instance=2, up_delay_seconds=5, down_delay_seconds=60)


def row(load: str, how: str, result: Result) -> str:
    """One line of the table."""
    numbers = (f"{result.mean_wait:.1f}", f"{result.p95_wait}", f"{result.instance_seconds}", f"{len(result.changes)}")
    return f"| {load} | {how} | {' | '.join(numbers)} | {result.turns} |"


def main() -> None:
    """Print the table."""
    print("| load | instances | mean wait, s | p95 wait, s | instance-seconds | decisions | turns |")
    print("|---|---|---|---|---|---|---|")
    for name, load in LOADS.items():
        scaled = simulate(load, POLICY)
        print(row(name, f"{POLICY.min} to {POLICY.max}", scaled))
        alike = max(1, round(scaled.instance_seconds / 1200))
        print(row(name, f"{alike} fixed (as dear)", simulate(load, None, alike)))
        print(row(name, f"{POLICY.max} fixed", simulate(load, None, POLICY.max)))


if __name__ == "__main__":
    main()
