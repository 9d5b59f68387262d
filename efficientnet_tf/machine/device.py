"""Which device is asked for, by the flags of the command line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """Where to compute; the attributes are the flags of these names.

    Attributes:
        tpu: "local" (TPU VM, Colab, Kaggle), the name of a Cloud TPU, a "grpc://..." address, ""
            for the name in the environment (TPU_NAME), or None for the workers of TF_CONFIG if it
            names any, else the GPUs of this machine, or its CPU if there is none.
        tpu_zone, tpu_project: of the Cloud TPU; None asks the metadata server of Google Cloud.
    """

    tpu: str | None = None
    tpu_zone: str | None = None
    tpu_project: str | None = None


THIS_MACHINE = Device()
