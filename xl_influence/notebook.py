"""Run one notebook with checked parameters: `python -m xl_influence.notebook 02 study=cpu task=pawsx train_size=500`.

The executed notebook lies under `notebooks/` where its tables lie (`tables.place`), beside the merged parameters. One that
fails is kept as `<name>.failed.ipynb`. Plain `papermill notebooks/…` works as well; this checks the parameters first.
"""

import logging
import os
import sys
from pathlib import Path

import yaml

from . import params, runs, tables

STARTS = 3  # of a kernel that does not start


def find(name):
    """The source notebook whose file name starts with `name` ('02', or the whole stem)."""
    folder = params.root() / "notebooks"
    found = sorted(folder.glob(f"{name}*.ipynb"))
    if len(found) != 1:
        allowed = ", ".join(path.stem for path in sorted(folder.glob("*.ipynb")))
        raise params.ParameterError(
            f"{len(found)} notebooks start with {name!r}; allowed are {allowed}"
        )
    return found[0]


def run(name, given):
    """Execute a notebook with the parameters `given` (dict; the rest from `params/`). Returns the executed file's path."""
    source, merged = find(name), params.merge(given)
    target = tables.place(merged) / "notebooks" / source.name
    failed = target.with_suffix(".failed.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.environ["XL_INFLUENCE_BOOK"] = "1"  # charts leave Vega to the page
    logging.getLogger("papermill").addFilter(
        lambda record: "unknown parameter" not in record.getMessage()
    )
    _execute(
        source,
        failed,
        parameters=given,
        cwd=params.root(),
        progress_bar=False,
        stderr_file=sys.stderr,  # the bars of long cells
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    with runs.write_atomically(target.with_suffix(".yaml")) as path:
        path.write_text(
            yaml.safe_dump(merged, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
    runs.move_into_place(failed, target)
    return target


def _execute(*args, **options):
    """`papermill.execute_notebook`, started again where the kernel did not start: two that start at once can pick one port."""
    import papermill

    for left in reversed(range(STARTS)):
        try:
            return papermill.execute_notebook(*args, **options)
        except (
            RuntimeError
        ) as error:  # of the kernel's start, when no cell has run; a cell's error is another class
            if not left or "Kernel" not in str(error):
                raise
            print(f"{args[0].stem}: {error}; starting another kernel", file=sys.stderr)


def main(arguments):
    """Command line: a notebook's name, then key=value."""
    import papermill

    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    try:
        path = run(arguments[0], params.parse(arguments[1:]))
    except params.ParameterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except papermill.PapermillExecutionError as error:
        print(
            f"error in {arguments[0]}, cell {error.exec_count}: {error.ename}: {error.evalue}",
            file=sys.stderr,
        )
        return 1
    print(Path(path))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
