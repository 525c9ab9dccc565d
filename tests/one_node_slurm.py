"""A Slurm of one node on this machine, for tests: real daemons on the loopback, no accounting.

It needs Debian's packages slurmctld, slurmd, slurm-client and munge, and root, since slurmd starts
jobs. Nothing is left of it but its folder.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
# Where Slurm's commands look if SLURM_CONF is not set; Snakemake's plugin unsets it on the node.
FALLBACK, SYSTEM = Path("/run/slurm/conf"), Path("/etc/slurm/slurm.conf")
CPUS, GPUS, PORT = 4, 4, 26817
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def find_obstacle():
    """Why there can be no such Slurm on this machine, in words; empty if there can."""
    missing = [name for name in (*DAEMONS, *CLIENTS) if not shutil.which(name, path=PATH)]
    if missing:
        return f"{', '.join(missing)} not installed (Debian: slurmctld slurmd slurm-client munge)"
    if os.geteuid() != 0:
        return "only root can start slurmd"
    if SYSTEM.exists() or FALLBACK.exists():
        return f"this machine has a Slurm of its own ({SYSTEM} or {FALLBACK})"
    return ""


class Cluster:
    """The daemons, with their files in `folder`; `start` and `stop` them all or one by one."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.conf = self.folder / "slurm.conf"
        self.environment = {"SLURM_CONF": str(self.conf), "PATH": PATH}
        self.running = {}

    def __enter__(self):
        try:
            self._start_all()
        except (AssertionError, OSError):  # a machine on which its daemons cannot work
            self.__exit__()
            raise
        return self

    def _start_all(self):
        self._write_files()
        FALLBACK.parent.mkdir(parents=True, exist_ok=True)
        FALLBACK.symlink_to(self.folder, target_is_directory=True)
        for name in DAEMONS:
            self.start(name)
        wait_for(lambda: self.call("sinfo", "-h", "-o", "%T") == "idle", "an idle node", 30)

    def __exit__(self, *_):
        if "slurmctld" in self.running:
            jobs = self.call("squeue", "-h", "-o", "%A").split()
            if jobs:
                self.call("scancel", *jobs)
                wait_for(lambda: not self.call("squeue", "-h", "-o", "%A"), "no job", 30)
        for name in reversed(DAEMONS):
            self.stop(name)
        FALLBACK.unlink(missing_ok=True)

    def _write_files(self):
        for name in ("munge", "state", "spool"):
            (self.folder / name).mkdir(parents=True, mode=0o700)
        (self.folder / "munge.key").write_bytes(os.urandom(1024))
        (self.folder / "munge.key").chmod(0o400)
        os.chmod(self.folder, 0o755)
        devices = [self.folder / f"gpu{number}" for number in range(GPUS)]
        for device in devices:  # stand-ins, so that jobs can ask for GPUs
            os.mknod(device, 0o666 | 0o020000, os.makedev(1, 3))
        node = socket.gethostname().split(".")[0]
        files = f"{self.folder}/gpu[0-{GPUS - 1}]"
        (self.folder / "gres.conf").write_text(f"NodeName={node} Name=gpu File={files}\n")
        settings = {
            "ClusterName": "tests",
            "SlurmctldHost": f"{node}(127.0.0.1)",
            "SlurmctldPort": PORT,
            "SlurmdPort": PORT + 1,
            "SlurmUser": "root",
            "SlurmdUser": "root",
            "AuthType": "auth/munge",
            # the second: how long jobs of a lost node wait until they start again
            "AuthInfo": f"socket={self.folder}/munge.sock,cred_expire=10",
            "CredType": "cred/munge",
            "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
            "StateSaveLocation": self.folder / "state",
            "SlurmdSpoolDir": self.folder / "spool",
            "SlurmctldPidFile": self.folder / "slurmctld.pid",
            "SlurmdPidFile": self.folder / "slurmd.pid",
            "SlurmctldLogFile": self.folder / "slurmctld.log",
            "SlurmdLogFile": self.folder / "slurmd.log",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/none",
            "AccountingStorageType": "accounting_storage/none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "SchedulerParameters": "sched_interval=1,sched_min_interval=0,batch_sched_delay=0",
            "SlurmdParameters": "config_overrides",  # more CPUs than there are
            "GresTypes": "gpu",
            "MinJobAge": 3600,  # squeue tells of jobs that have ended
            "SlurmdTimeout": 10,  # until a silent node is lost
            "ReturnToService": 2,
            "KillWait": 2,
            "MpiDefault": "none",
        }
        lines = [f"{key}={value}" for key, value in settings.items()]
        lines += [
            f"NodeName={node} NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory=64000 Gres=gpu:{GPUS}",
            f"PartitionName=all Nodes={node} Default=YES DefMemPerCPU=200 State=UP",
        ]
        self.conf.write_text("\n".join(lines) + "\n")

    def start(self, name):
        """Start a daemon in the foreground of a process of its own."""
        folder = self.folder
        command = {
            "munged": [
                "--foreground",
                "--force",
                f"--socket={folder}/munge.sock",
                f"--key-file={folder}/munge.key",
                f"--pid-file={folder}/munged.pid",
                f"--log-file={folder}/munged.log",
                f"--seed-file={folder}/munge.seed",
            ],
            "slurmctld": ["-D", "-f", str(self.conf)],
            "slurmd": ["-D", "-f", str(self.conf)],
        }[name]
        with open(folder / f"{name}.out", "a") as output:
            self.running[name] = subprocess.Popen(
                [shutil.which(name, path=PATH), *command],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if name == "munged":
            wait_for((folder / "munge.sock").exists, "munge's socket", 10)

    def stop(self, name, how=signal.SIGTERM):
        """Stop a daemon; jobs that slurmd has started live on."""
        process = self.running.pop(name, None)
        if process is not None:
            process.send_signal(how)
            process.wait(timeout=60)

    def kill_jobs(self):
        """Kill all processes of jobs, as a node does that loses its power."""
        steps = [
            each for each in psutil.process_iter(["name"]) if each.info["name"] == "slurmstepd"
        ]
        for process in [*steps, *(child for step in steps for child in step.children(True))]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def call(self, *command):
        """The output of one of Slurm's commands, without blanks around it."""
        done = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True
        )
        return done.stdout.strip()

    def jobs(self, state=None):
        """The numbers of jobs, running or not, or of those in a state such as RUNNING."""
        listed = self.call("squeue", "-h", "--states=all", "-o", "%A|%T").split()
        pairs = [line.split("|") for line in listed]
        return [number for number, found in pairs if state in (None, found)]


def wait_for(seen, what, seconds):
    """Wait until `seen()` is true."""
    deadline = time.time() + seconds
    while not seen():
        assert time.time() < deadline, f"no {what} after {seconds} seconds"
        time.sleep(0.05)
