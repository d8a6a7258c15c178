# Registered callbacks survive pg_dump, pg_restore and pg_upgrade: they are
# found, belong to whom they belonged to, and run.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = PostgreSQL::Test::Cluster->new('old');
$old->init;
$old->start;

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
	CREATE ROLE regress_app_before;
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
my $callbacks = $old->safe_psql('app', $list);
is(scalar(() = $callbacks =~ /^(?:regress_app|\w+)\|[^|]+\|(?:row function|batch statement|range statement)\|/mg),
	5, 'five callbacks to keep');
is($old->safe_psql('app', $walk), $walked, 'before: they run');

my $dir = $old->basedir;
$old->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/app.dump", 'app' ], 'dump');
$old->command_ok([ 'pg_restore', '-e', '-d', 'custom', "$dir/app.dump" ], 'restore');
check_copy($old, 'custom', $callbacks, 'pg_restore');

$old->command_ok([ 'pg_dump', '-f', "$dir/app.sql", 'app' ], 'dump as a script');
unlike(slurp_file("$dir/app.sql"), qr/gone/, 'what a dropped role left is not dumped');
$old->command_ok(
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/app.sql", 'plain' ],
	'restore the script');
check_copy($old, 'plain', $callbacks, 'script');

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
$new->init;
my $bindir = $new->config_data('--bindir');
chdir $new->basedir or die "could not change folder: $!";
command_ok(
	[
		'pg_upgrade', '--no-sync', '-b', $bindir, '-B', $bindir,
		'-d', $old->data_dir, '-D', $new->data_dir,
		'-s', $new->host, '-p', $old->port, '-P', $new->port
	],
	'pg_upgrade');
$new->start;
check_copy($new, 'app', $callbacks, 'pg_upgrade');

done_testing();
