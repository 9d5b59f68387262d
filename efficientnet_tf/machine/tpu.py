"""Why there is no TPU and what to do: the same text in the doctor and when a connection fails."""

from efficientnet_tf.machine import chips, packages
from efficientnet_tf.machine.findings import Finding, advice, is_bad, line, warn

_CPU = "Without --tpu the same command runs on the GPU or CPU of this machine."
_DOCTOR = "`python main.py doctor --tpu={tpu}` checks the rest."
_ADDRESS = "Its port must be open to this machine; on the TPU VM itself use --tpu=local."
_NAME = (
    "gcloud compute tpus tpu-vm list --zone=ZONE: the name must be there, its state READY.",
    "Give --tpu_zone and --tpu_project; without them only a machine in Google Cloud knows them.",
    "gcloud auth application-default login, if the credentials are missing.",
    _ADDRESS,
)


def findings(tpu: str | None) -> list[Finding]:
    """Lines on packages, chips and holders, for the TPU that --tpu asks for."""
    local = tpu == "local"
    # A TPU on another machine has its kernels there: plain TensorFlow will do here.
    lines = packages.findings(packages.installed(), has_chips=chips.has_chips(), wants_tpu=local)
    if tpu is None or local:
        lines += chips.findings(wants_tpu=local)
    if local and (hosts := chips.hosts()) > 1:
        lines.append(
            warn(
                "TPU pod",
                f"this machine is one of {hosts} hosts of a slice",
                "On a pod slice run on host 0 alone, with --tpu=NAME, the slice's own name.",
            )
        )
    return lines


def no_tpu(tpu: str, reason: str) -> str:
    """The message when `tpu` does not answer: the reason, what was found, what to do."""
    found = findings(tpu)
    shown = [*map(line, found)]
    if tpu != "local":
        found.append(warn("", "", *((_ADDRESS,) if "://" in tpu else _NAME)))
    elif not is_bad(found):
        remedy = (
            "Everything looks right from outside. Restart the runtime or the machine, which frees "
            "a TPU that a dead process left behind, and look into the files of /tmp/tpu_logs."
        )
        found.append(warn("", "", remedy))
    doctor = _DOCTOR.format(tpu=tpu)
    return "\n".join(
        [f"no TPU found for --tpu={tpu}: {reason}", *shown, advice(found), f"{_CPU} {doctor}"]
    )
