"""The paper's claims, one file per label, in the order of the paper."""

from qtheory.claims.paper.app_c_1 import APP_C_1
from qtheory.claims.paper.cor_b_3 import COR_B_3
from qtheory.claims.paper.eq_1_3 import EQ_1_3
from qtheory.claims.paper.eq_6 import EQ_6
from qtheory.claims.paper.eq_7_9 import EQ_7_9
from qtheory.claims.paper.prop_4_1 import PROP_4_1
from qtheory.claims.paper.prop_6_2 import PROP_6_2
from qtheory.claims.paper.prop_a_1 import PROP_A_1
from qtheory.claims.paper.prop_b_1 import PROP_B_1
from qtheory.claims.paper.prop_c_1 import PROP_C_1
from qtheory.claims.paper.prop_c_2 import PROP_C_2
from qtheory.claims.paper.prop_d_2 import PROP_D_2
from qtheory.claims.paper.prop_d_3 import PROP_D_3
from qtheory.claims.paper.prop_d_4 import PROP_D_4
from qtheory.claims.paper.sec_6_1_1 import SEC_6_1_1
from qtheory.claims.paper.thm_3_1 import COR_B_2, THM_3_1
from qtheory.claims.paper.thm_5_1 import THM_5_1
from qtheory.claims.paper.thm_5_2 import THM_5_2
from qtheory.claims.paper.thm_6_1 import THM_6_1
from qtheory.claims.paper.v2 import V2

PAPER = (
    EQ_1_3,
    PROP_A_1,
    THM_3_1,
    COR_B_2,
    COR_B_3,
    PROP_B_1,
    PROP_4_1,
    EQ_6,
    THM_5_1,
    THM_5_2,
    APP_C_1,
    PROP_C_1,
    PROP_C_2,
    EQ_7_9,
    THM_6_1,
    PROP_6_2,
    SEC_6_1_1,
    PROP_D_2,
    PROP_D_3,
    PROP_D_4,
    V2,
)
