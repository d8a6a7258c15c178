# StreamIter: a PGXS extension, plus the developers' targets (`make help`).

EXTENSION = streamiter
MODULE_big = streamiter
SCRIPT = streamiter--1.0.sql
OBJS = $(patsubst %.c,%.o,$(filter-out $(XLSX_OTHERS),$(sort $(wildcard src/*.c))))
DATA = $(filter-out src/$(SCRIPT),$(sort $(wildcard src/streamiter--*.sql)))
DATA_built = $(SCRIPT)
HEADERS = src/streamiter.h
PGFILEDESC = "streamiter - walk a query in batches, inside the server"

# One topic a line: sql/TOPIC.sql, expected/TOPIC.out. Each finds the extension
# installed and leaves nothing behind, so that any one of them runs alone.
REGRESS = \
	names \
	guc \
	walk \
	batches \
	args \
	callbacks \
	strict \
	errors \
	nested \
	badinput \
	property \
	upgrade \
	fused \
	iterator \
	registry \
	security \
	rights \
	hostile \
	keys \
	sources \
	changes \
	job \
	job_scan \
	job_errors \
	job_oneliner \
	job_rules \
	progress \
	throttle \
	dry_run \
	explain_job \
	export \
	distributed \
	prefetch \

# Export to XLSX needs libxlsxwriter; without it, or with XLSXWRITER=no, the
# format says so.
XLSXWRITER ?= $(shell echo '\#include <xlsxwriter.h>' | $(or $(CC),cc) $(CPPFLAGS) -E - >/dev/null 2>&1 && echo yes || echo no)
ifeq ($(XLSXWRITER),no)
XLSX_OTHERS = $(wildcard src/export_xlsx*.c)
else
XLSX_OTHERS = src/export_no_xlsx.c
SHLIB_LINK += -lxlsxwriter
endif

REGRESS_OPTS = --load-extension=streamiter --encoding=UTF8

# One spec a line: src/test/specs/NAME.spec, src/test/expected/NAME.out.
ISOLATION_SPECS = \
	conflicts \
	one_call \
	one_runner \
	one_snapshot \
	open_alter \
	open_writer \
	locked_keys \
	prefetch_locked \
	walk_changes \
	walk_ddl \

ISOLATION_OPTS = --inputdir=src/test --load-extension=streamiter

EXTRA_CLEAN = results output_iso tmp_check tmp_check_iso log \
	regression.diffs regression.out

# The developers' targets build in a copy of this tree and find, or install,
# their own PostgreSQL: they must not need the one that PGXS would ask for.
DEV_TARGETS = help setup hooks \
	demo bench \
	test test-all-versions test-assert test-sanitize test-valgrind \
	test-upgrade crash-test test-distributed fuzz test-faults coverage \
	lint format format-check \
	dist deb test-packages

ifneq ($(filter-out $(DEV_TARGETS),$(or $(MAKECMDGOALS),all)),)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(wildcard $(PGXS)),)
$(error There are no PostgreSQL server headers where "$(PG_CONFIG)" points. \
	Install them (Debian: postgresql-server-dev-15), \
	or name a pg_config with make PG_CONFIG=/path/to/pg_config)
endif

# Both need something that not every installation has: PostgreSQL 13's packages
# lack the isolation tester, and prove with no file to run is an error.
ifneq ($(wildcard $(dir $(PGXS))../test/isolation/pg_isolation_regress),)
ISOLATION = $(ISOLATION_SPECS)
endif
ifneq ($(wildcard src/test/t/*.pl),)
TAP_TESTS = 1
PROVE_TESTS = src/test/t/*.pl
endif

include $(PGXS)

# The control file is the one place that knows the version.
VERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" streamiter.control)
src/streamiter.o src/streamiter.bc: override CPPFLAGS += -DSTREAMITER_VERSION='"$(VERSION)"'
src/streamiter.o src/streamiter.bc: streamiter.control

# The install script, of the files in which it is written.
$(SCRIPT): $(patsubst %,src/%--1.0.sql,streamiter distributed engines distribute run_parts)
	cat $^ >$@

# PGXS does not follow includes.
$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h)

endif

.PHONY: $(DEV_TARGETS)

help:
	@src/tools/help

setup demo bench lint format hooks dist deb test-packages:
	@src/tools/$@

# make test TESTS="walk batches" runs only these topics of sql/
test:
	@src/tools/test $(addprefix -r ,$(TESTS))

# All of these heed TESTS too
test-all-versions:
	@src/tools/test-on $(addprefix -r ,$(TESTS))

test-assert:
	@src/tools/test-on $(addprefix -r ,$(TESTS)) assert15 assert18

test-sanitize:
	@src/tools/test-on -m sanitize $(addprefix -r ,$(TESTS)) 15

test-valgrind:
	@src/tools/test-on -m valgrind $(addprefix -r ,$(TESTS)) assert15

coverage:
	@src/tools/coverage $(addprefix -r ,$(TESTS))

test-upgrade:
	@src/tools/test-upgrade $(FROM) $(TO)

format-check:
	@src/tools/format --check

crash-test:
	@src/tools/crash-test $(CYCLES)

test-distributed:
	@DISTRIBUTED_CYCLES=$(or $(CYCLES),30) src/tools/test -t src/test/t/050_distributed.pl

# make fuzz SECONDS=600 SEED=1 CASE=2; shells have a SECONDS of their own
fuzz:
	@src/tools/fuzz $(if $(filter command,$(origin SECONDS)),$(SECONDS),60) $(SEED) $(CASE)

test-faults:
	@FAULTS=all src/tools/test -t src/test/t/070_faults.pl
