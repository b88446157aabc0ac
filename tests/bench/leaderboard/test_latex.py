from board_cases import scored

from layton_bench.leaderboard.board import boards
from layton_bench.leaderboard.formats import render
from layton_bench.leaderboard.latex import escape

EVIL = r"50% _x^ \end{table} {$&#~<b>|" + '"'


def test_latex_is_a_whole_booktabs_table() -> None:
    made = boards([scored("a", 30, 29, 31, bits_per_image=3584.0), scored("b_x", 28)])
    text = render(made, "latex")
    assert text.splitlines() == [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        r"  \caption{tiny-16 v1: 10 images, canonical@1, rounding round, data dddddddddddd."
        r" Ranked by PSNR (dB). Models whose 95 \% intervals overlap may share a rank (=).}",
        r"  \begin{tabular}{rlrr}",
        r"    \toprule",
        r"    Rank & Model & bits/image & PSNR (dB) $\uparrow$ \\",
        r"    \midrule",
        r"    1 & a & 3,584 & \textbf{30.00 [29.00, 31.00]} \\",
        r"    2 & b\_x &  & 28.00 \\",
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
        r"% psnr|n:10|v1",
    ]


def test_no_name_or_note_acts_in_latex() -> None:
    made = boards([
        scored("m", 1.0, card={"title": EVIL}, result={"note": "x\n\\input{/etc/passwd}"})
    ])  # fmt: skip
    text = render(made, "latex")
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert sum(line.count(r"\end{table}") for line in body) == 1
    assert not any(r"\input" in line for line in body)
    assert escape(EVIL) == (
        r"50\% \_x\textasciicircum{} \textbackslash{}end\{table\} \{\$\&\#\textasciitilde{}"
        r"\textless{}b\textgreater{}\textbar{}''"
    )
    assert render([], "latex") == "% No runs yet.\n"
