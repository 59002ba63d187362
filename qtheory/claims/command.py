"""Run `qtheory verify` and `python -m figures claims`: check claims, write files, print one table."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from qtheory.claims.claim import Claim, MissingEvidence, Verification, find, verify
from qtheory.claims.page import claims_page
from qtheory.claims.record import records
from qtheory.claims.table import claims_table
from qtheory.command.console import TextConsole, status
from qtheory.command.files import check_path, write_outputs
from qtheory.command.run import refuse


def verify_command(
    program: str,
    claims: Mapping[str, Claim],
    labels: Sequence[str],
    *,
    quick: bool,
    json: Path | None,
    page: Path | None,
) -> int:
    """Verify claims.

    Args:
        program: The command's name, which opens error lines.
        claims: All claims by label.
        labels: The labels to verify; all claims if empty.
        quick: See `Claim.quick`.
        json: A file to write, with one record per claim.
        page: A file to write, as the page of the docs.

    Returns:
        The exit status, 1 if a check contradicts its verdict. Bad input ends the process.
    """
    outputs = [("--json", json, records), ("--page", page, claims_page)]
    try:
        chosen = [find(label, claims) for label in dict.fromkeys(labels)] or list(claims.values())
        for option, path, _ in outputs:
            if path is not None:
                check_path(option, path)
    except ValueError as error:
        # A shell splits an unquoted label into pieces, for which a suggestion would only mislead.
        whole = " ".join(labels)
        refuse(program, f"the label {whole!r} needs quotes" if whole in claims and len(labels) > 1 else str(error))
    done: list[Verification] = []
    try:
        with status() as show:
            for claim in chosen:
                show(f"{len(done) + 1} of {len(chosen)}: {claim.label}")
                done.append(verify(claim, quick=quick))
    except MissingEvidence as error:
        refuse(program, str(error))
    # Written before the table is printed, as the reader of standard output may close it early.
    failure = write_outputs([(option, path, text(done)) for option, path, text in outputs if path is not None])
    console = TextConsole()
    console.print(claims_table(done, detail=bool(labels)))
    if failure is not None:
        refuse(program, failure)
    contradicted = [verification.claim.label for verification in done if not verification.agrees]
    if contradicted:
        console.print(f"{len(contradicted)} of {len(done)} claims contradicted: {', '.join(contradicted)}")
        return 1
    console.print(f"{len(done)} of {len(done)} claims as recorded")
    return 0
