# Registered callbacks and jobs survive pg_dump, pg_restore and pg_upgrade: they
# are found, belong to whom they belonged to, and run; half a job is not done
# again, nor the other half forgotten.
#
# With OLD_PG_CONFIG in the environment, pg_upgrade is from that server.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = PostgreSQL::Test::Cluster->new('old', old_install_path());
$old->init(extra => ['--data-checksums']);
$old->start;

# Where the old server is installed, if it is another
sub old_install_path
{
	my $config = $ENV{OLD_PG_CONFIG} or return;
	return (install_path => dirname(dirname($config)));
}

# What a user sees, and what he gets when he walks
my $list = q{
	SELECT owner, name, kind, signature, statement, usable, created
	FROM streamiter.callbacks ORDER BY owner::text COLLATE "C", name};
my $walk = q{
	SET ROLE regress_app;
	TRUNCATE app.log;
	SELECT rows FROM streamiter.for_each('SELECT generate_series(1, 3)', 'note');
	SELECT rows FROM streamiter.for_each('SELECT generate_series(4, 6)', 'double');
	SELECT rows FROM streamiter.for_each('SELECT generate_series(7, 9)', 'shared');
	SELECT array_agg(id ORDER BY id) FROM app.log};
my $walked = "3\n3\n3\n{1,2,3,7,8,8,9,10,12}";

# Jobs half done: their states, what they have counted, what they have set aside,
# where in each slice they are
my $jobs = q{
	SELECT owner, name, state, rows, batches, skipped, sqlstate FROM streamiter.jobs ORDER BY name;
	SELECT name, key, row_data, sqlstate, message FROM streamiter.skipped ORDER BY name, key;
	SELECT name, outcome, rows FROM streamiter.runs ORDER BY name, started;
	SELECT name, slice, pass, lower, upper, position, done, rows, batches FROM streamiter.slices ORDER BY name, slice};
# ... and what is known of distributed ones
my $distributed = q{
	SELECT * FROM streamiter.distributed_jobs ORDER BY name;
	SELECT * FROM streamiter.distributed_parts ORDER BY name, part;
	SELECT * FROM streamiter_distributed.engine ORDER BY name};
my $distribute = q{
	SELECT streamiter.store_distributed_job(jsonb_build_object('name', %s, 'servers', '{s1,s2}',
		'source', 'TABLE work', 'callback', 'f(integer)', 'per', 'batch', 'settings', '{"chunk_size": 10}'::jsonb,
		'environment', '{"timezone": "UTC"}'::jsonb),
		'[{"part": 1, "engine": "dblink", "server": "s1", "job": "far"}, {"part": 2, "engine": "mine", "server": "s2", "job": "far"}]')};
my @half_done = qw(crashed failed one_liner paused prefetch set_aside sliced stopped text_key);

my $distributed_before;

# Runs a job, or makes it and runs it
sub run_job
{
	my ($name, $more) = @_;

	return 'SET ROLE regress_app; CALL streamiter.' . ($name eq 'one_liner'
		? "backfill('app.work', set => 'one_liner = one_liner + 1', name => 'one_liner', chunk_size => 30"
		: "run('$name'") . "$more)";
}

# Continues them all; returns what became of each row, and of the jobs
sub finish_jobs
{
	my ($node, $database, $acknowledge) = @_;

	if ($acknowledge)
	{
		# restored, the table is another one, as far as a job can know
		for my $name (qw(one_liner sliced stopped))
		{
			my ($status, undef, $stderr) = $node->psql($database, run_job($name, ''));
			like($stderr, qr/is not what it was.*acknowledge => true/s,
				"$database: a restored job asks first, $name");
		}
		$node->safe_psql($database, join ';', 'SET ROLE regress_app',
			map { "SELECT streamiter.alter_job('$_', acknowledge => true)" } @half_done);
	}
	$node->safe_psql($database, q{
		SET ROLE regress_app;
		SELECT streamiter.resume('paused');
		UPDATE app.work SET good = true;
		SELECT streamiter.retry_skipped('set_aside')});
	$node->safe_psql($database, run_job($_, $_ eq 'sliced' ? ', workers => 2' : '')) for @half_done;
	my $columns = join ', ', @half_done;
	return $node->safe_psql($database, qq{
		SELECT $columns, count(*) FROM app.work GROUP BY $columns;
		SELECT string_agg(state, ',') FROM streamiter.jobs});
}

sub check_jobs
{
	my ($node, $database, $expected, $how, %option) = @_;

	is($node->safe_psql($database, $jobs), $expected, "$how: every job is there, as it stood");
	is($node->safe_psql($database, $distributed), $distributed_before, "$how: distributed jobs are known");
	$node->safe_psql($database, sprintf $distribute, q{'another'});
	is(finish_jobs($node, $database, $option{acknowledge}),
		join('|', (1) x @half_done, 1000) . "\n" . join(',', ('finished') x @half_done),
		"$how: jobs go on where they were");
	is($node->safe_psql($database, q{
		SET ROLE regress_app;
		SELECT streamiter.create_job('new', 'SELECT id FROM app.work', 'app.note(integer)');
		CALL streamiter.run('new');
		SELECT count(*) FROM streamiter.runs WHERE name = 'new'}), "\n1", "$how: and others are made");
	return;
}

sub check_copy
{
	my ($node, $database, $expected, $how) = @_;

	is($node->safe_psql($database, $list), $expected,
		"$how: every callback is there, and resolves");
	is($node->safe_psql($database, $walk), $walked, "$how: they run");
	return;
}

$old->safe_psql(
	'postgres', q{
	CREATE ROLE regress_keeper LOGIN;
	CREATE ROLE regress_app_before LOGIN;
	CREATE ROLE regress_gone;
	CREATE DATABASE app OWNER regress_keeper;
	CREATE DATABASE custom;
	CREATE DATABASE plain;
	CREATE DATABASE kept});
$old->safe_psql(
	'app', q{
	CREATE EXTENSION streamiter;
	CREATE SCHEMA app AUTHORIZATION regress_keeper;
	GRANT USAGE, CREATE ON SCHEMA app TO PUBLIC;
	SET ROLE regress_keeper;
	CREATE TABLE app.log (id bigint);
	GRANT ALL ON app.log TO PUBLIC;
	CREATE TYPE app."a type" AS (id integer);
	CREATE FUNCTION app.note(integer) RETURNS void LANGUAGE plpgsql
	AS 'BEGIN INSERT INTO app.log VALUES ($1); END';
	CREATE FUNCTION app.types(app."a type", app."a type"[], varchar, "char", anyarray)
	RETURNS void LANGUAGE plpgsql AS 'BEGIN END';

	SET ROLE regress_app_before;
	SELECT streamiter.register_callback('note', 'app.note(integer)');
	SELECT streamiter.register_statement('double',
		'INSERT INTO app.log SELECT 2 * id FROM unnest($1) id');
	SELECT streamiter.register_statement('range',
		$$SELECT 'tab	newline
		backslash \\ and $1' WHERE $1 < $2$$, per => 'range');
	SELECT streamiter.register_callback('types, "quoted" \\',
		'app.types(app."a type", app."a type"[], varchar, "char", anyarray)');
	SET ROLE regress_gone;
	SELECT streamiter.register_callback('gone', 'app.note(integer)');
	RESET ROLE;
	SELECT streamiter.register_callback('shared', 'app.note(integer)');

	-- roles come and go, and are given other names
	DROP ROLE regress_gone;
	ALTER ROLE regress_app_before RENAME TO regress_app});
$old->safe_psql('app', q{
	SET ROLE regress_app;
	CREATE TABLE app.work (id integer PRIMARY KEY, code text COLLATE "C" NOT NULL UNIQUE, good boolean NOT NULL DEFAULT true,
		crashed integer DEFAULT 0, failed integer DEFAULT 0, one_liner integer DEFAULT 0, paused integer DEFAULT 0,
		prefetch integer DEFAULT 0, set_aside integer DEFAULT 0, sliced integer DEFAULT 0, stopped integer DEFAULT 0, text_key integer DEFAULT 0);
	GRANT SELECT ON app.work TO regress_keeper;
	INSERT INTO app.work SELECT g, md5(g::text) FROM generate_series(1, 1000) g;
	UPDATE app.work SET good = id NOT IN (50, 500);
	CREATE FUNCTION app.bad(boolean) RETURNS integer LANGUAGE plpgsql AS
	$$BEGIN IF NOT $1 THEN RAISE EXCEPTION USING ERRCODE = 'UE001', MESSAGE = 'bad row'; END IF; RETURN 1; END$$;
	RESET ROLE;
	CREATE FUNCTION app.die(boolean) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER AS
	$$BEGIN IF NOT $1 THEN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(60); END IF; RETURN 1; END$$;
	SET ROLE regress_app;
	SELECT streamiter.register_statement(name, format(
		'UPDATE app.work SET %1$s = %1$s + %2$s WHERE id = ANY ($1)', name,
		CASE WHEN name IN ('failed', 'set_aside') THEN 'app.bad(good)' WHEN name = 'crashed' THEN 'app.die(good)' ELSE '1' END))
	FROM unnest('{crashed,failed,paused,set_aside,stopped,text_key}'::text[]) name;
	SELECT streamiter.create_job(name, 'SELECT id FROM app.work', name, chunk_size => 30,
		on_error => CASE name WHEN 'set_aside' THEN 'skip' ELSE 'stop' END)
	FROM unnest('{crashed,failed,paused,set_aside,stopped}'::text[]) name;
	SELECT streamiter.create_job('text_key', 'SELECT id, code FROM app.work', 'text_key', key => '{code}', chunk_size => 30);

	CREATE TABLE app.related AS SELECT id, 1 AS one FROM app.work;
	CREATE FUNCTION app.prefetch(integer, jsonb) RETURNS void LANGUAGE sql AS
	$$UPDATE app.work SET prefetch = prefetch + ($2->0->>'one')::integer WHERE id = $1$$;
	SELECT streamiter.create_job('prefetch', 'SELECT id FROM app.work', 'app.prefetch(integer, jsonb)', chunk_size => 30,
		prefetch => 'SELECT * FROM app.related WHERE id = ANY ($1)', prefetch_key => 'id');

	-- nobody goes on before each of three has done a batch of a slice of its own
	CREATE TABLE app.team (pid integer PRIMARY KEY);
	GRANT SELECT ON app.related, app.team TO regress_keeper;
	CREATE FUNCTION app.sliced(integer[]) RETURNS void LANGUAGE plpgsql AS
	$$BEGIN
		INSERT INTO app.team VALUES (pg_backend_pid()) ON CONFLICT DO NOTHING;
		WHILE NOT FOUND AND (SELECT count(*) FROM app.team) < 3 LOOP PERFORM pg_sleep(0.01); END LOOP;
		UPDATE app.work SET sliced = sliced + 1 WHERE id = ANY ($1);
	END$$;
	SELECT streamiter.register_callback('sliced', 'app.sliced(integer[])', per => 'batch');
	SELECT streamiter.create_job('sliced', 'SELECT id FROM app.work', 'sliced', chunk_size => 5)});
$old->psql('app', run_job($_, $_ eq 'sliced' ? ', workers => 3, max_rows => 30' : ', max_rows => 300')) for @half_done;
$old->safe_psql('app', q{SET ROLE regress_app; SELECT streamiter.pause('paused')});
my $half_done = $old->safe_psql('app', $jobs);
$old->safe_psql('app', q{INSERT INTO streamiter_distributed.engine VALUES ('mine', false)});
$old->safe_psql('app', 'SET ROLE regress_app;' . sprintf $distribute, q{'far'});
$distributed_before = $old->safe_psql('app', $distributed);
is(scalar(() = $distributed_before =~ /^(far\|regress_app\|.*|mine\|f)$/mg), 4, 'a distributed job, and its engine');
like($half_done, qr/^regress_app\|crashed\|crashed\|30\|1\|0\|
regress_app\|failed\|failed\|30\|1\|0\|UE001
regress_app\|one_liner\|stopped\|300\|10\|0\|
regress_app\|paused\|paused\|300\|10\|0\|
regress_app\|prefetch\|stopped\|300\|10\|0\|
regress_app\|set_aside\|stopped\|\d+\|\d+\|1\|
regress_app\|sliced\|stopped\|30\|6\|0\|
regress_app\|stopped\|stopped\|300\|10\|0\|
regress_app\|text_key\|stopped\|300\|10\|0\|
set_aside\|/, 'jobs half done');
cmp_ok(scalar(() = $half_done =~ /^sliced\|\d+\|1\|.*\|\{\d+\}\|f\|\d+\|\d+$/mg), '>', 1, 'one of them in several slices');

my $callbacks = $old->safe_psql('app', $list);
is(scalar(() = $callbacks =~ /^(?:regress_app|\w+)\|[^|]+\|(?:row function|batch function|batch statement|range statement)\|/mg),
	12, 'twelve callbacks to keep');
is($old->safe_psql('app', $walk), $walked, 'before: they run');

my $dir = $old->basedir;
$old->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/app.dump", 'app' ], 'dump');
$old->command_ok([ 'pg_restore', '-e', '-d', 'custom', "$dir/app.dump" ], 'restore');
check_copy($old, 'custom', $callbacks, 'pg_restore');
check_jobs($old, 'custom', $half_done, 'pg_restore', acknowledge => 1);

$old->command_ok([ 'pg_dump', '-f', "$dir/app.sql", 'app' ], 'dump as a script');
unlike(slurp_file("$dir/app.sql"), qr/gone/, 'what a dropped role left is not dumped');
$old->command_ok(
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/app.sql", 'plain' ],
	'restore the script');
check_copy($old, 'plain', $callbacks, 'script');
check_jobs($old, 'plain', $half_done, 'script', acknowledge => 1);

# The database's owner, who is no superuser, can dump it; the extension takes a
# superuser to restore
$old->command_ok([ 'pg_dump', '-U', 'regress_keeper', '-Fc', '-f', "$dir/kept.dump", 'app' ],
	'dump by the owner of the database');
$old->command_ok([ 'pg_restore', '-e', '-d', 'kept', "$dir/kept.dump" ], 'restore');
check_copy($old, 'kept', $callbacks, 'owner of the database');

# Others cannot
$old->safe_psql('postgres', 'ALTER DATABASE app OWNER TO regress_app');
$old->command_fails([ 'pg_dump', '-U', 'regress_keeper', 'app' ],
	'no dump by somebody else');

# A new server
$old->stop;
my $new = PostgreSQL::Test::Cluster->new('new');
# from 18 on, checksums are the default
$new->init(extra => ['--data-checksums']);
chdir $new->basedir or die "could not change folder: $!";
my @upgrade = (
	'pg_upgrade', '--no-sync',
	'-b', $old->config_data('--bindir'), '-B', $new->config_data('--bindir'),
	'-d', $old->data_dir, '-D', $new->data_dir,
	'-s', $new->host, '-p', $old->port, '-P', $new->port);
command_ok([ @upgrade, '--check' ], 'pg_upgrade --check finds nothing');
command_ok(\@upgrade, 'pg_upgrade');
$new->start;
check_copy($new, 'app', $callbacks, 'pg_upgrade');
check_jobs($new, 'app', $half_done, 'pg_upgrade');

done_testing();
