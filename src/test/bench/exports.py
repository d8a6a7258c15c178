"""exports: a query's rows to a file, beside other ways to get them there"""

import os
import subprocess
import tempfile

from measure import Way, measure, sql
from options import options
from report import add_memory, add_missing, add_times
from server import execute


def export():
    """The same rows; a fifth of them to workbooks."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)

        def exported(name, query="TABLE account"):
            return sql(f"SELECT rows FROM streamiter.export('{query}', '{folder}/export.{name}', '{name}')")

        def copied(query, name):
            return Way(lambda: execute(f"COPY ({query}) TO '{folder}/copy.{name}' (FORMAT {name})") or options.rows)

        ours, theirs = measure(exported("csv"), copied("TABLE account", "csv"))
        add_times("export to CSV: time / `COPY`", ours, theirs, at_most=1.05)
        add_memory("export to CSV", ours)

        # the text format escapes what the lines must not have escaped, but it is no less work
        ours, theirs = measure(exported("jsonl"), copied("SELECT row_to_json(a) FROM account a", "text"))
        add_times("export to JSON lines: time / `COPY` of `row_to_json`", ours, theirs)
        add_memory("export to JSON lines", ours)

        workbooks(folder, exported)


def workbooks(folder, exported):
    program = f"{folder}/xlsx"
    source = os.path.join(os.path.dirname(__file__), "xlsx.c")
    if subprocess.run(["cc", "-O2", "-o", program, source, "-lxlsxwriter"], stderr=subprocess.DEVNULL).returncode:
        add_missing("export to XLSX", "there is no libxlsxwriter")
        return
    rows = options.rows // 5

    def feed():
        subprocess.run([program, f"{folder}/program.xlsx", str(rows)], check=True)
        return rows

    ours, theirs = measure(exported("xlsx", f"SELECT * FROM account ORDER BY id LIMIT {rows}"), Way(feed), rows=rows)
    add_times("export to XLSX: time / a C program that feeds the same cells to the library", ours, theirs,
              at_most=1.2)
    add_memory("export to XLSX", ours)
