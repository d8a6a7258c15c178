"""server: the session that everything is measured in, and what it works on"""

import os
import re

import django
from django.conf import settings
from django.db import connection, models

from options import options

SCHEMA = "streamiter_bench"

# Callbacks run in one process, so what they are compared with shall do so too
SESSION = (f"-c search_path={SCHEMA},public -c client_min_messages=warning"
           " -c max_parallel_workers_per_gather=0 -c jit=off")

settings.configure(DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": os.environ.get("PGHOST", ""),
    "PORT": os.environ.get("PGPORT", ""),
    "USER": os.environ.get("PGUSER", "postgres"),
    "NAME": os.environ.get("PGDATABASE", "postgres"),
    "OPTIONS": {"options": SESSION}}})
django.setup()

TABLES = """
CREATE TABLE account (id bigint PRIMARY KEY, branch integer NOT NULL, name text NOT NULL);
INSERT INTO account SELECT g, g % 1000, 'account ' || g FROM generate_series(1, {rows}) g;
CREATE TABLE ten AS SELECT g::bigint AS id FROM generate_series(1, 10) g;

CREATE FUNCTION in_plpgsql(bigint) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION in_c(bigint) RETURNS bigint LANGUAGE c AS '$libdir/streamiter_native', 'streamiter_native_same';
CREATE FUNCTION in_strict_c(bigint) RETURNS bigint LANGUAGE c STRICT AS '$libdir/streamiter_native', 'streamiter_native_same';
CREATE FUNCTION in_sql(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT $1 + 1';
"""


class Account(models.Model):
    id = models.BigIntegerField(primary_key=True)
    branch = models.IntegerField()
    name = models.TextField()

    class Meta:
        app_label = "bench"
        db_table = "account"


def execute(statement):
    """What the statement returns first, if anything."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def has_language(name):
    """Whether there is such a procedural language; from here on there is, if it can be had."""
    if not execute(f"SELECT count(*) FROM pg_available_extensions WHERE name = '{name}'"):
        return False
    execute(f"CREATE EXTENSION IF NOT EXISTS {name}")
    return True


def make_tables():
    execute("CREATE EXTENSION IF NOT EXISTS streamiter")
    execute("CREATE EXTENSION IF NOT EXISTS streamiter_native")
    execute(f"CREATE SCHEMA {SCHEMA}")
    execute(TABLES.format(rows=options.rows))
    execute("VACUUM ANALYZE account")


def drop_tables():
    execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def machine():
    with open("/proc/cpuinfo") as cpuinfo:
        model = re.search(r"model name\s*: (.*)|$", cpuinfo.read())[1]
    clock = "time on the wall" if options.wall else "processor time" if options.cpu else (
        "processor time of server and client, for jobs time on the wall")
    return (f"PostgreSQL {execute('SHOW server_version').split()[0]}, "
            f"{model or os.uname().machine}, {os.cpu_count()} cores; "
            f"{options.rows:,} rows; {clock} (in brackets: on the wall), medians of {options.rounds} rounds, "
            f"and of three times as many where a round is short")
