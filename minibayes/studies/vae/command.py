"""python -m minibayes vae: digits without labels; table, vae.png, vae.json."""


from ... import plots
from ..frame import Count, Epochs
from ..talk import tell
from . import measure, report

STEP = 0.004  # seconds, on two cores


class VAE(Epochs, name="vae", about="learning without labels: autoencoders of digits, what they complete and "
          "what they do not know; table, vae.png, vae.json"):
    counts = {"images": Count("N", "training images", 100, 60_000),
              "samples": Count("T", "draws of the code for a bound", 2, 100_000),
              "count": Count("N", "images of each kind that are completed and looked at", 40, 10_000),
              "chains": Count("C", "chains that complete an image", 2, 10_000),
              "links": Count("L", "steps of each chain", 1, 100_000)}
    timed = True
    full = {"epochs": 16, "images": 60_000, "test": 10_000, "samples": 50, "count": 200, "chains": 20,
            "links": 200}
    quick = {"epochs": 8, "images": 20_000, "test": 1000, "samples": 10, "count": 50, "chains": 10,
             "links": 100}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> tuple[dict, dict]:
        steps = len(measure.MODELS) * settings["epochs"] * settings["images"] / measure.BATCH
        if progress:
            tell(f"{len(measure.MODELS)} networks of {steps / len(measure.MODELS):,.0f} steps: about "
                 f"{max(1, round(steps * STEP / 60))} min on two cores")
        found, shown = measure.study(settings, threads, progress)
        full = settings | {"batch_size": measure.BATCH, "rate": measure.RATE, "hidden": measure.HIDDEN,
                           "code": measure.CODE, "keep": measure.KEEP, "threads": threads}
        return {"settings": full} | found, shown

    def table(self, result: dict) -> str:
        return report.summary_table(result)

    def figure(self, result: dict, figure_data: dict) -> plots.Axes:
        return report.figure(result, figure_data)
