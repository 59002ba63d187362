"""This project's claims, one file per label."""

from qtheory.claims.own.qc_1 import QC_1
from qtheory.claims.own.qc_2 import QC_2
from qtheory.claims.own.qc_3 import QC_3
from qtheory.claims.own.qc_4 import QC_4
from qtheory.claims.own.qc_5 import QC_5
from qtheory.claims.own.qc_6 import QC_6
from qtheory.claims.own.qc_7 import QC_7
from qtheory.claims.own.qc_8 import QC_8
from qtheory.claims.own.qc_9 import QC_9
from qtheory.claims.own.qc_10 import QC_10
from qtheory.claims.own.qc_11 import QC_11
from qtheory.claims.own.qc_12 import QC_12
from qtheory.claims.own.qc_13 import QC_13
from qtheory.claims.own.qc_14 import QC_14
from qtheory.claims.own.qc_r import QC_R

OWN = (
    QC_1,
    QC_2,
    QC_3,
    QC_4,
    QC_5,
    QC_6,
    QC_7,
    QC_8,
    QC_9,
    QC_10,
    QC_11,
    QC_12,
    QC_13,
    QC_14,
    QC_R,
)
