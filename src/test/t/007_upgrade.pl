# ALTER EXTENSION UPDATE, from the first release on, to a version that does not
# exist yet: callbacks and half jobs stay, sessions that know them go on, and what
# comes of it is what a new installation of that version is.  Also through dump and
# restore, of a database that has been updated and of one that has not.
#
# The next version is made here, in a copy of the server's files: as a script that
# updates, with ALTER, and as an install script whose text says the same at once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use File::Basename;
use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

# -- a server of our own --------------------------------------------------------

# Links will do, but programs look for their files from where they really are
my $tree = "$PostgreSQL::Test::Utils::tmp_check/server";
my ($bindir) = folder('--bindir');
for my $folder ($bindir, map { folder($_) } '--pkglibdir', '--sharedir')
{
	make_path("$tree$folder");
	system('cp', $folder eq $bindir ? '-rT' : '-rsT', $folder, "$tree$folder") == 0 or die "cannot copy $folder";
}
my $node = PostgreSQL::Test::Cluster->new('upgrade', install_path => dirname("$tree$bindir"));
plan skip_all => 'this server cannot be moved' if $node->config_data('--bindir') ne "$tree$bindir";
my $extension = $node->config_data('--sharedir') . '/extension';

sub folder
{
	my ($stdout, $stderr) = run_command([ 'pg_config', shift ]);
	return $stdout;
}

# The oldest version, and all that makes it the newest
my ($install) = grep { !/--.*--/ } glob "$extension/streamiter--*.sql";
my ($oldest) = $install =~ /--(.*)\.sql$/;

sub install_file
{
	my ($name, $text) = @_;

	unlink "$extension/$name";		# which may be a link
	append_to_file("$extension/$name", $text);
	return;
}

sub set_default_version
{
	my $control = slurp_file("$extension/streamiter.control");

	$control =~ s/^default_version = '\K[^']*/shift/em or die;
	install_file('streamiter.control', $control);
	return;
}

# -- the next version -----------------------------------------------------------

my $pause = q{
CREATE %s FUNCTION streamiter.pause(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'streamiter_pause'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
};
my $skipped = q{
CREATE VIEW streamiter.skipped WITH (security_barrier) AS
SELECT k.id, j.name, j.owner, k.key, k.row_data, k.sqlstate, k.message, k.detail,
	k.hint, k.context, k.attempts, k.retry_requested, k.skipped_at,
	k.run_id AS run
FROM streamiter.skipped_row k
JOIN streamiter.job j ON j.id OPERATOR(pg_catalog.=) k.job_id
WHERE pg_catalog.pg_has_role(j.owner, 'USAGE');
};
my $more = q{
CREATE TABLE streamiter.tag (
	job_id integer NOT NULL REFERENCES streamiter.job ON DELETE CASCADE,
	tag text COLLATE "C" NOT NULL,
	PRIMARY KEY (job_id, tag));
REVOKE ALL ON streamiter.tag FROM PUBLIC;
GRANT SELECT ON streamiter.tag TO pg_database_owner;
SELECT pg_catalog.pg_extension_config_dump('streamiter.tag', '');
CREATE FUNCTION streamiter.half(n integer) RETURNS integer LANGUAGE sql AS 'SELECT n / 2';
};

my $step = qq{
ALTER TABLE streamiter.job ADD COLUMN note text NOT NULL DEFAULT 'none';
ALTER TYPE streamiter_distributed.planned_part ADD ATTRIBUTE note text;
DROP VIEW streamiter.skipped;$skipped
GRANT SELECT ON streamiter.skipped TO PUBLIC;
} . sprintf($pause, 'OR REPLACE') . $more;
# forgets what is easily forgotten
my $careless = $step =~ s/^GRANT.*\n|^SELECT.*config_dump.*\n//gmr;

sub next_install_script
{
	my $text = slurp_file($install);
	my $new_pause = sprintf($pause, '');

	$text =~ s/(CREATE TABLE streamiter\.job \(.*?created [^\n]*,\n)/$1\tnote text NOT NULL DEFAULT 'none',\n/s or die;
	$text =~ s/(CREATE TYPE streamiter_distributed\.planned_part AS \(.*?)\n\);/$1,\n\tnote text\n);/s or die;
	$text =~ s/\nCREATE VIEW streamiter\.skipped .*?;\n/$skipped/s or die;
	$text =~ s/\nCREATE FUNCTION streamiter\.pause\(.*?;\n/$new_pause/s or die;
	return $text . $more;
}

# -- what there is, before and after --------------------------------------------

# All there is to say about an installation
sub definitions
{
	my $database = shift;
	my $text = slurp_file("$FindBin::RealBin/../lib/definition.sql");

	my $all = $node->safe_psql($database, qq{
		CREATE SCHEMA look;
		SET search_path = look, public;
		$text
		SELECT translate(format('%s %s: %s %s', type, identity, what, value), E'\\n\\t', '  ') FROM definition});
	$node->safe_psql($database, 'DROP SCHEMA look CASCADE');
	return join "\n", sort split /\n/, $all;
}

# Lines that only one of two texts has
sub differences
{
	my ($one, $other) = map { { map { $_ => 1 } split /\n/ } } @_;
	return join "\n", sort((map { "- $_" } grep { !$other->{$_} } keys %$one), map { "+ $_" } grep { !$one->{$_} } keys %$other);
}

my $jobs = q{
	SELECT owner, name, state, rows, batches, skipped, sqlstate FROM streamiter.jobs ORDER BY name;
	SELECT name, key, row_data, sqlstate, message, run FROM streamiter.skipped ORDER BY name, key;
	SELECT name, run, outcome, rows, started, ended FROM streamiter.runs ORDER BY name, run;
	SELECT name, slice, pass, lower, upper, position, done, rows FROM streamiter.slices ORDER BY name, slice;
	SELECT owner, name, kind, signature, statement, usable, created FROM streamiter.callbacks ORDER BY name};
my @half_done = qw(one_liner paused failed set_aside stopped);

sub run_job
{
	my ($name, $more) = @_;

	return 'CALL streamiter.' . ($name eq 'one_liner'
		? "backfill('work', set => 'one_liner = one_liner + 1', name => 'one_liner', chunk_size => 10$more)"
		: "run('$name'$more)");
}

# Callbacks and jobs of a role that is no superuser, half done
sub prepare
{
	my $database = shift;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, qq{
		CREATE EXTENSION streamiter VERSION '$oldest';
		GRANT CREATE ON SCHEMA public TO PUBLIC;
		SET ROLE regress_user;
		CREATE TABLE work (id integer PRIMARY KEY, good boolean NOT NULL, one_liner integer DEFAULT 0, paused integer DEFAULT 0,
			failed integer DEFAULT 0, set_aside integer DEFAULT 0, stopped integer DEFAULT 0);
		INSERT INTO work SELECT i, i NOT IN (5, 50) FROM generate_series(1, 100) i;
		CREATE FUNCTION bad(boolean) RETURNS integer LANGUAGE plpgsql AS
		'BEGIN IF NOT \$1 THEN RAISE EXCEPTION USING ERRCODE = ''UE001'', MESSAGE = ''bad row''; END IF; RETURN 1; END';
		CREATE FUNCTION stopped(integer) RETURNS void LANGUAGE sql AS 'UPDATE work SET stopped = stopped + 1 WHERE id = \$1';
		SELECT streamiter.register_callback('stopped', 'stopped(integer)');
		SELECT streamiter.register_statement(name, format('UPDATE work SET %1\$s = %1\$s + %2\$s WHERE id BETWEEN \$1 AND \$2',
			name, CASE WHEN name = 'paused' THEN '1' ELSE 'bad(good)' END), per => 'range')
		FROM unnest('{paused,failed,set_aside}'::text[]) name;
		SELECT streamiter.create_job(name, 'SELECT id FROM work', name, chunk_size => 10,
			on_error => CASE name WHEN 'set_aside' THEN 'skip' ELSE 'stop' END)
		FROM unnest('{paused,failed,set_aside,stopped}'::text[]) name});
	$node->psql($database, 'SET ROLE regress_user; ' . run_job($_, ', max_rows => 30')) for @half_done;
	$node->safe_psql($database, q{SET ROLE regress_user; SELECT streamiter.pause('paused')});
	return;
}

# Jobs go on where they were; $say sends statements
sub finish
{
	my ($say, $how) = @_;

	$say->($_) for q{SELECT streamiter.resume('paused')}, 'UPDATE work SET good = true',
	  q{SELECT streamiter.retry_skipped('set_aside')}, map { run_job($_, '') } @half_done;
	is($say->('SELECT ' . join(', ', map { "sum($_), min($_), max($_)" } @half_done) . ' FROM work'),
		join('|', ('100|1|1') x @half_done), "$how: each row was worked on once");
	is($say->(q{SELECT string_agg(DISTINCT state, ' ') FROM streamiter.jobs}), 'finished', "$how: jobs are finished");
	is($say->(q{SELECT rows FROM streamiter.for_each('SELECT 1', 'stopped')}), 1, "$how: a callback is called");
	is($say->('SELECT streamiter.half(84)'), 42, "$how: what is new works");
	return;
}

# The same in a session of psql's, of what was restored: the table is another one,
# as far as a job can know
sub check_restored
{
	my ($database, $before, $fresh, $how) = @_;
	my $say = sub { return $node->safe_psql($database, 'SET ROLE regress_user; ' . shift) =~ s/^\n//r; };

	is($node->safe_psql($database, $jobs), $before, "$how: names and jobs are there, as they stood");
	is(differences($fresh, definitions($database)), '', "$how: what a new installation is");
	$say->("SELECT streamiter.alter_job('$_', acknowledge => true)") for @half_done;
	finish($say, $how);
	return;
}

# -- the test -------------------------------------------------------------------

$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE regress_user LOGIN');
prepare('app');
my $at_dump = $node->safe_psql('app', $jobs);
like($at_dump, qr/^regress_user\|failed\|failed\|0\|0\|0\|UE001
regress_user\|one_liner\|stopped\|30\|3\|0\|
regress_user\|paused\|paused\|30\|3\|0\|
regress_user\|set_aside\|stopped\|\d+\|\d+\|1\|
regress_user\|stopped\|stopped\|30\|3\|0\|
set_aside\|/, 'jobs half done');
my $dir = $node->basedir;
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/old.dump", 'app' ], 'dump before the update');

# These have used it before, and do not know that there will be another
my @sessions = map { Session->new($node, user => 'regress_user', database => 'app') } 1 .. 2;
$_->query('SELECT rows FROM streamiter.for_each($$SELECT 1$$, $$int4abs(integer)$$)') for @sessions;
$sessions[0]->query(run_job('stopped', ', max_rows => 10'));
my $before = $node->safe_psql('app', $jobs);

my $default = $node->safe_psql('app', q{SELECT default_version FROM pg_available_extensions WHERE name = 'streamiter'});
install_file("streamiter--$default--next.sql", $step);
install_file("streamiter--$default--careless.sql", $careless);
install_file('streamiter--next.sql', next_install_script());
set_default_version('next');
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION streamiter');
my $fresh = definitions('fresh');

isnt(definitions('app'), $fresh, 'the next version is another');
is($node->safe_psql('app', $jobs), $before, 'until the update, all is as it was');
$node->safe_psql('app', 'ALTER EXTENSION streamiter UPDATE');
is($node->safe_psql('app', q{SELECT extversion FROM pg_extension WHERE extname = 'streamiter'}), 'next', 'updated');
is(differences($fresh, definitions('app')), '', 'the update comes to what a new installation is');
is($node->safe_psql('app', $jobs), $before, 'names and jobs are there, as they stood');
is($sessions[1]->query($jobs), $before, 'in an older session too');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/new.dump", 'app' ], 'dump after the update');
finish(sub { return $sessions[0]->query(shift); }, 'sessions older than the update');

# Would a mistake be seen?
$node->safe_psql('postgres', 'CREATE DATABASE careless');
$node->safe_psql('careless', "CREATE EXTENSION streamiter VERSION '$oldest'; ALTER EXTENSION streamiter UPDATE TO 'careless'");
like(differences($fresh, definitions('careless')), qr/^- extension streamiter: dumped streamiter\.tag.*^- view streamiter\.skipped: grants .*=r/ms,
	'an update that forgets something is found out');

for (['new', 'restored after the update', $before], ['old', 'restored into the next version', $at_dump])
{
	my ($dump, $how, $expected) = @$_;

	$node->safe_psql('postgres', "CREATE DATABASE $dump");
	$node->command_ok([ 'pg_restore', '-e', '-d', $dump, "$dir/$dump.dump" ], $how);
	check_restored($dump, $expected, $fresh, $how);
}

$node->stop;
done_testing();
