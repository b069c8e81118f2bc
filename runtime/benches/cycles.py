#!/usr/bin/env python3
"""Estimates what layers cost on a real Cortex-M4, in cycles: QEMU counts instructions only.

    ./ofa bench kernels --layers LAYERS.json        # once, to set up
    runtime/benches/cycles.py LAYERS.json

Every instruction that QEMU executes inside the runtime is counted by its address, and weighed by the timings of Arm's
Cortex-M4 Technical Reference Manual (table 3-1), with memory that never waits: a load or store of N registers takes
1 + N cycles, a load 2 unless the instruction before it is a load or store too (then 1), a store 1, a taken branch 3, a
move of two registers to or from the floating-point unit 2, everything else 1. Needs qemu-system-arm, nm and
llvm-objdump.
"""

import bisect
import collections
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WRAPPER = "#!/bin/sh\nexec {qemu} -singlestep -d exec,nochain -D {folder}/log.$$ \"$@\"\n"


def trace(layer, folder):
    """Counts of each executed address, and the row of `ofa bench kernels`."""
    qemu = subprocess.run(["which", "qemu-system-arm"], capture_output=True, text=True, check=True).stdout.strip()
    wrapper = os.path.join(folder, "qemu-system-arm")
    with open(wrapper, "w") as file:
        file.write(WRAPPER.format(qemu=qemu, folder=folder))
    os.chmod(wrapper, 0o755)
    layers = os.path.join(folder, "layers.json")
    with open(layers, "w") as file:
        json.dump([layer], file)
    path = folder + os.pathsep + os.environ["PATH"]
    command = [os.environ.get("OFA_BIN", os.path.join(ROOT, "ofa")), "bench", "kernels", "--json", "--layers", layers]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path})
    if done.returncode != 0:
        sys.exit(done.stderr)
    counts = collections.Counter()
    for log in glob.glob(folder + "/log.*"):
        with open(log, errors="replace") as file:
            for line in file:
                start = line.find("[")
                if line.startswith("Trace") and start > 0:
                    counts[int(line[start:].split("/")[1], 16)] += 1
    return counts, json.loads(done.stdout)[0]


def runtime_code(elf):
    """Address and text of every instruction of the runtime."""
    names = subprocess.run(["nm", "-nC", elf], capture_output=True, text=True, check=True).stdout
    symbols = []
    for line in names.splitlines():
        parts = line.split(None, 2)
        if len(parts) == 3 and parts[1] in "tTwW" and not parts[2].startswith("$"):
            symbols.append((int(parts[0], 16) & ~1, parts[2]))
    addresses = [address for address, _ in symbols]
    text = subprocess.run(["llvm-objdump", "-d", elf], capture_output=True, text=True, check=True).stdout
    for line in text.splitlines():
        match = re.match(r"\s*([0-9a-f]+):\s+(?:[0-9a-f]{2} )+\s+(\S+)\s*(.*)", line)
        if not match:
            continue
        address = int(match[1], 16)
        at = bisect.bisect_right(addresses, address) - 1
        name = symbols[at][1] if at >= 0 else ""
        if name.startswith("ofa_") or "runtime::" in name or "mem" in name:
            yield address, match[2].split(".")[0], match[3]


def cycles(mnemonic, operands, after_memory):
    """Of one instruction; a branch as if it were taken."""
    registers = 0
    listed = re.search(r"\{(.*?)\}", operands)
    if listed:
        for part in listed[1].split(","):
            ends = re.findall(r"\d+", part)
            registers += int(ends[1]) - int(ends[0]) + 1 if "-" in part and len(ends) == 2 else 1
    if mnemonic in ("ldm", "stm", "push", "pop", "vpush", "vpop", "vldmia", "vstmia"):
        return 1 + registers + (2 if "pc" in operands else 0)
    if mnemonic in ("ldrd", "strd"):
        return 3
    if mnemonic.startswith("ldr"):
        return (1 if after_memory else 2) + (2 if operands.startswith("pc") else 0)
    if mnemonic.startswith("vmov") and operands.count(",") == 3:
        return 2
    if re.fullmatch(r"b[a-z]{0,2}|bl|blx|cbz|cbnz", mnemonic):
        return 3
    return 1


def main():
    layers = json.load(open(sys.argv[1]))
    print(f"{'layer':58} {'MACs':>9} {'instructions':>12} {'per MAC':>7} {'cycles':>9} {'per MAC':>7}")
    for layer in layers:
        with tempfile.TemporaryDirectory() as folder:
            counts, row = trace(layer, folder)
        elf = max(glob.glob(ROOT + "/target/boards/thumbv7em-none-eabihf/*/probe"), key=os.path.getmtime)
        instructions = estimate = 0
        after_memory = False
        code = list(runtime_code(elf))
        for i, (address, mnemonic, operands) in enumerate(code):
            count = counts[address]
            instructions += count
            cost = cycles(mnemonic, operands, after_memory)
            after_memory = mnemonic.startswith(("ldr", "str"))
            if cost == 3 and mnemonic.startswith(("b", "cb")) and i + 1 < len(code):
                # What follows a conditional branch ran as often as the branch was not taken, at most.
                through = min(count, counts[code[i + 1][0]]) if mnemonic not in ("b", "bl", "bx") else 0
                estimate += 3 * (count - through) + through
            else:
                estimate += cost * count
        # The board runs a layer more than once: for its bytes, and for its time.
        runs = max(1, round(instructions / row["ticks"]))
        instructions, estimate = instructions // runs, estimate // runs
        macs = row["macs"]
        print(f"{row['layer']:58} {macs:9} {instructions:12} {instructions / macs:7.3f} {estimate:9} {estimate / macs:7.3f}")


if __name__ == "__main__":
    main()
