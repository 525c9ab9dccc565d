"""Run one notebook with checked parameters.

    python -m xl_influence.notebook 02 study=cpu task=pawsx train_size=500

The executed notebook goes to `notebooks/` beside its tables (`tables.find_output_dir`), with the
merged parameters in a YAML file. A notebook that fails is kept as `<name>.failed.ipynb`. You can
also run `papermill notebooks/…` yourself; this command checks the parameters before it starts a
kernel.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from . import disk, params, runs, tables, workflow

STARTS = 3  # attempts to start a kernel


def find(name: str) -> Path:
    """Find the source notebook whose file name starts with `name` ('02', or all of it)."""
    folder = params.find_root() / "notebooks"
    found = sorted(folder.glob(f"{name}*.ipynb"))
    if len(found) != 1:
        allowed = ", ".join(path.stem for path in sorted(folder.glob("*.ipynb")))
        raise params.ParameterError(
            f"{len(found)} notebooks have a name that starts with {name!r}; allowed are {allowed}"
        )
    return found[0]


def run(name: str, given: dict[str, Any]) -> Path:
    """Execute a notebook.

    Parameters
    ----------
    name
        The beginning of its file name, such as '02'.
    given
        Some parameters; the files in `params/` give the others.

    Returns
    -------
    Path
        The executed notebook.
    """
    source = find(name)
    merged, where = params.merge_with_source(given)
    workflow.check(merged, where, [source.stem])
    target = tables.find_output_dir(merged) / "notebooks" / source.name
    failed = target.with_suffix(".failed.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    parameters = yaml.safe_dump(merged, sort_keys=False, allow_unicode=True)
    with runs.lock(target.parent, f"notebook {source.stem}", f".{source.stem}.lock") as waited:
        if waited and _is_executed(target, parameters):  # by the process that we waited for
            return target
        _run_all_cells(source, failed, given)
        with runs.write_atomically(target.with_suffix(".yaml")) as path:
            path.write_text(parameters, encoding="utf-8")
        runs.move_into_place(failed, target)
    return target


def _is_executed(target: Path, parameters: str) -> bool:
    """Whether a notebook was executed with these parameters and did not fail."""
    beside, failed = target.with_suffix(".yaml"), target.with_suffix(".failed.ipynb")
    if not (target.exists() and beside.exists()) or failed.exists():
        return False
    return beside.read_text(encoding="utf-8") == parameters


def _run_all_cells(source: Path, target: Path, given: dict[str, Any]) -> None:
    """Execute a notebook.

    The kernel's connection file and sockets lie in a folder of their own on this machine.
    """
    from traitlets.config import Config

    os.environ["XL_INFLUENCE_BOOK"] = "1"  # the page loads Vega once for all charts
    logging.getLogger("papermill").addFilter(
        lambda record: "unknown parameter" not in record.getMessage()
    )
    with tempfile.TemporaryDirectory(prefix="xl-") as folder:
        os.environ["JUPYTER_RUNTIME_DIR"] = folder
        connection = str(Path(folder) / "kernel.json")  # its sockets lie beside it
        _execute(
            source,
            target,
            parameters=given,
            cwd=params.find_root(),
            progress_bar=False,
            stderr_file=sys.stderr,  # progress bars
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
            config=Config(KernelManager={"transport": "ipc", "connection_file": connection}),
        )


def _execute(source: Path, target: Path, **options: Any) -> None:
    """Call `papermill.execute_notebook`, again if the kernel does not start.

    Kernels talk over files, not ports: of two that start at once, both may pick the same port.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError

    for left in reversed(range(STARTS)):
        try:
            papermill.execute_notebook(source, target, **options)
            return
        except DeadKernelError:  # killed while a cell ran
            raise
        except RuntimeError as error:  # no cell has run yet; an error in a cell has another class
            if not left or "Kernel" not in str(error):
                raise
            print(f"{source.stem}: {error}; starting another kernel", file=sys.stderr)


def main(arguments: Sequence[str]) -> int:
    """Command line: the name of a notebook, then key=value pairs. Returns the exit status."""
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
    except RuntimeError as error:  # as in `_execute`; anything else is a bug
        if "Kernel" not in str(error):
            raise
        print(f"error in {arguments[0]}: {error}; was there enough memory?", file=sys.stderr)
        return 1
    except OSError as error:
        if not (message := disk.explain(error)):
            raise
        print(f"error in {arguments[0]}: {message}", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
