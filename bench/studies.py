#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains what the method is judged by, and writes tables and curves.

  compare      Adaptive Span and Transformer-XL under fairseq's two commands,
               scaled down alike: same text, updates, rows, width and depth
  aux-loss     --aux-loss-scaler against mean span and bits per byte
  attn-span    --attn-span against memory, speed and bits per byte
  update-freq  --update-freq k in one process against k processes

Each run is `spanlm-train train` and `eval-lm` on a raw corpus directory; one
that is in --work already is not run again. The result is a section of Markdown on
stdout, with an SVG beside it for `compare`. --size full is the published 12 layers
of 512: for a GPU (--device cuda --precision fp16).
"""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys

# What both models of a size share, and each one's own.
SHAPES = {
    "small": {"n-layer": 4, "d-model": 128, "n-head": 4, "d-inner": 512,
              "batch-size": 16, "tokens-per-sample": 128},
    "full": {"n-layer": 12, "d-model": 512, "n-head": 8, "d-inner": 2048,
             "batch-size": 60, "tokens-per-sample": 512}}
SPAN = {"arch": "adaptive_span", "optimizer": "adagrad_with_grad_clip",
        "adagrad-clip": 0.03, "lr-scheduler": "fixed", "lr": 0.07,
        "aux-loss-scaler": 5e-7}
SPAN_OF = {
    "small": {"attn-span": 1024, "dropout": 0.1, "warmup-updates": 200},
    "full": {"attn-span": 8192, "dropout": 0.3, "warmup-updates": 32000}}
XL = {"arch": "transformer_xl", "dropout": 0.1, "optimizer": "adam",
      "clip-norm": 0.25, "lr-scheduler": "cosine"}
# A quarter of the width, four times the rate.
XL_OF = {"small": {"mem-len": 128, "lr": 1e-3},
         "full": {"mem-len": 512, "lr": 2.5e-4}}
# Left in the folder of a run that ended, by us.
DONE = "studies.json"
# Of the larger model's parameters, by how many the other may have fewer.
PARAMETER_TOLERANCE = 0.1


def flags(settings):
    return [word for name, value in settings.items()
            for word in (f"--{name}", str(value))]


class Bench:
    """Runs of one study. `args` are the program's."""

    def __init__(self, args):
        self.args = args
        self.program = str(pathlib.Path(args.bin) / "spanlm-train")
        self.work = pathlib.Path(args.work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.shape = SHAPES[args.size]

    def train(self, name, settings, processes=1):
        """Trains `name` with the shape and `settings`; its save folder."""
        save_dir = self.work / name
        command = [self.program, "train", self.args.data, "--save-dir",
                   str(save_dir), "--max-update", str(self.args.updates),
                   "--validate-interval-updates",
                   str(max(self.args.updates // 10, 1)),
                   "--valid-bytes", "131072", "--threads",
                   str(self.args.threads), "--precision", self.args.precision,
                   "--device", self.args.device, "--seed", "2",
                   "--log-interval", "25"]
        command += flags({**self.shape, **settings})
        done = save_dir / DONE
        if done.exists():
            if json.loads(done.read_text())["command"] == command:
                return save_dir
            sys.exit(f"studies: {save_dir} holds a run of another command; "
                     "remove it or give another --work")
        print(f"studies: {name}", file=sys.stderr)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        running = []
        for rank in range(processes):
            environment = dict(os.environ)
            if processes > 1:
                environment.update(RANK=str(rank), WORLD_SIZE=str(processes),
                                   MASTER_ADDR="127.0.0.1",
                                   MASTER_PORT=str(port))
            running.append(subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL))
        peaks = []
        for _ in running:
            _, status, usage = os.wait3(0)
            if status != 0:
                for process in running:
                    process.kill()
                sys.exit(f"studies: {name}: {' '.join(command)} failed")
            peaks.append(usage.ru_maxrss * 1024)  # Linux counts kilobytes
        done.write_text(json.dumps({"command": command,
                                    "peak_bytes": max(peaks)}))
        return save_dir

    def train_span(self, changes, processes=1):
        """Trains Adaptive Span with `changes`, which name the run."""
        settings = {**SPAN, **SPAN_OF[self.args.size]}
        name = "-".join(["span"] + [
            f"{flag}-{value:g}" for flag, value in changes.items()
            if settings.get(flag) != value])
        if processes > 1:
            name += f"-{processes}-processes"
        return self.train(name, {**settings, **changes}, processes)

    def evaluate(self, save_dir, *more):
        """What eval-lm says of a run's last model on the test part."""
        key = "eval" + "".join(more).replace("/", "_") + ".json"
        path = save_dir / key
        if not path.exists():
            out = subprocess.run(
                [self.program, "eval-lm", self.args.data, "--path",
                 str(save_dir / "checkpoint_last"), "--json", *more],
                check=True, capture_output=True, text=True).stdout
            path.write_text(out)
        return json.loads(path.read_text())

    def inspect(self, save_dir):
        out = subprocess.run(
            [self.program, "inspect", str(save_dir / "checkpoint_last"),
             "--json"], check=True, capture_output=True, text=True).stdout
        return json.loads(out)


def lines(save_dir, tag):
    found = [json.loads(line)
             for line in (save_dir / "train.jsonl").read_text().splitlines()]
    return [line for line in found if line["tag"] == tag]


def speed(save_dir):
    """Symbols a second in training, the median of the log lines."""
    values = sorted(float(line["wps"])
                    for line in lines(save_dir, "train_inner"))
    return values[len(values) // 2]


def peak_megabytes(save_dir):
    """The most that a training process held."""
    return json.loads((save_dir / DONE).read_text())["peak_bytes"] / 1e6


def mean_span(save_dir):
    return float(lines(save_dir, "valid")[-1].get("valid_avg_span", 0))


def table(header, rows):
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def curves(path, runs):
    """An SVG of valid bits per byte against updates; `runs` by name."""
    series = {name: [(float(line["valid_num_updates"]),
                      float(line["valid_bits_per_byte"]))
                     for line in lines(save_dir, "valid")]
              for name, save_dir in runs.items()}
    points = [point for each in series.values() for point in each]
    right = max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    width, height, left, bottom = 640, 360, 60, 40

    def place(x, y):
        return (left + (width - left - 20) * x / right,
                20 + (height - bottom - 20) * (high - y) / (high - low or 1))

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} '
             f'{height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for i in range(5):
        y = low + (high - low) * i / 4
        _, top = place(0, y)
        parts.append(f'<path d="M{left} {top:.1f}H{width - 20}" '
                     f'stroke="#ddd"/><text x="{left - 6}" y="{top + 4:.1f}" '
                     f'text-anchor="end">{y:.2f}</text>')
        x, _ = place(right * i / 4, low)
        parts.append(f'<text x="{x:.1f}" y="{height - 20}" '
                     f'text-anchor="middle">{right * i / 4:.0f}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 4}" '
                 'text-anchor="middle">updates</text><text x="14" '
                 f'y="{height / 2}" transform="rotate(-90 14 {height / 2})" '
                 'text-anchor="middle">bits per byte, valid</text>')
    for i, (name, each) in enumerate(series.items()):
        colour = ("#1668b0", "#c4501b", "#2a8a4a", "#7a4fb5")[i % 4]
        path_data = " ".join(
            f"{'M' if j == 0 else 'L'}{x:.1f} {y:.1f}"
            for j, (x, y) in enumerate(place(*point) for point in each))
        parts.append(f'<path d="{path_data}" fill="none" stroke="{colour}" '
                     f'stroke-width="2"/><text x="{width - 30}" '
                     f'y="{40 + 18 * i}" fill="{colour}" '
                     f'text-anchor="end">{name}</text>')
    pathlib.Path(path).write_text("\n".join(parts) + "\n</svg>\n")


def compare(bench):
    xl = {**XL, **XL_OF[bench.args.size]}
    runs = {"Adaptive Span": bench.train_span({}),
            "Transformer-XL": bench.train("xl", xl)}
    # Of memory and clamp, Transformer-XL's paper has 2100 and 820 for 512.
    longer, clamp = ((2100, 820) if bench.args.size == "full" else
                     (4 * xl["mem-len"], xl["mem-len"] * 8 // 5))
    protocols = {
        "Adaptive Span": ("--protocol", "original", "--batch-size", "8",
                          "--tokens-per-sample",
                          str(bench.shape["tokens-per-sample"])),
        "Transformer-XL": ("--protocol", "kimiyoung", "--batch-size", "10",
                           "--tokens-per-sample", "80", "--model-overrides",
                           f"{{'mem_len': {longer}, 'clamp_len': {clamp}, "
                           "'same_length': True}")}
    rows = []
    for name, save_dir in runs.items():
        facts = bench.inspect(save_dir)
        own = bench.evaluate(save_dir, *protocols[name])
        rows.append((name, f"{facts['parameters']:,}",
                     f"{own['bits_per_symbol']:.4f}",
                     protocols[name][1], f"{speed(save_dir):,.0f}",
                     f"{facts['session_bytes']['fp32']:,}"))
    counts = [bench.inspect(each)["parameters"] for each in runs.values()]
    if min(counts) < (1 - PARAMETER_TOLERANCE) * max(counts):
        sys.exit(f"studies: {counts} parameters differ by more than "
                 f"{PARAMETER_TOLERANCE:.0%}")
    table(("model", "parameters", "bits per byte, test", "protocol",
           "symbols/s in training", "session bytes, fp32"), rows)
    curves(bench.args.svg, runs)


def aux_loss(bench):
    rows = []
    for scaler in (0, 5e-7, 2e-6, 1e-5):
        save_dir = bench.train_span({"aux-loss-scaler": scaler})
        own = bench.evaluate(save_dir, "--protocol", "original")
        rows.append((f"{scaler:g}", f"{mean_span(save_dir):.1f}",
                     f"{own['bits_per_symbol']:.4f}",
                     f"{speed(save_dir):,.0f}"))
    table(("--aux-loss-scaler", "mean span, positions", "bits per byte, test",
           "symbols/s in training"), rows)


def attn_span(bench):
    rows = []
    for span in (256, 1024, 4096):
        save_dir = bench.train_span({"attn-span": span})
        own = bench.evaluate(save_dir, "--protocol", "original")
        rows.append((span, f"{mean_span(save_dir):.1f}",
                     f"{bench.inspect(save_dir)['session_bytes']['fp32']:,}",
                     f"{peak_megabytes(save_dir):,.0f}",
                     f"{speed(save_dir):,.0f}",
                     f"{own['bits_per_symbol']:.4f}"))
    table(("--attn-span", "mean span, positions", "session bytes, fp32",
           "peak MB in training", "symbols/s in training",
           "bits per byte, test"), rows)


def update_freq(bench):
    rows = []
    for count in (2, 4):
        size = bench.shape["batch-size"] // count
        for name, changes, processes in (
                (f"update-freq {count}",
                 {"update-freq": count, "batch-size": size}, 1),
                (f"{count} processes", {"batch-size": size}, count)):
            save_dir = bench.train_span(changes, processes)
            own = bench.evaluate(save_dir, "--protocol", "original")
            rows.append((name, size, f"{speed(save_dir):,.0f}",
                         f"{own['bits_per_symbol']:.4f}"))
    table(("how", "rows of a batch", "symbols/s in training",
           "bits per byte, test"), rows)


def main():
    studies = {"compare": compare, "aux-loss": aux_loss,
               "attn-span": attn_span, "update-freq": update_freq}
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=studies)
    parser.add_argument("--data", required=True, help="raw corpus directory")
    parser.add_argument("--work", required=True, help="where runs are kept")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1,
                        help="of each training process")
    parser.add_argument("--size", choices=SHAPES, default="small")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"),
                        default="fp32")
    parser.add_argument("--bin", default="build/release/bin")
    parser.add_argument("--svg", default="docs/comparison.svg",
                        help="where `compare` draws its curves")
    args = parser.parse_args()
    shape = SHAPES[args.size]
    symbols = shape["batch-size"] * shape["tokens-per-sample"]
    print(f"{args.updates} updates of {symbols} symbols, {args.threads} "
          "thread(s) a process:\n")
    studies[args.study](Bench(args))


if __name__ == "__main__":
    main()
