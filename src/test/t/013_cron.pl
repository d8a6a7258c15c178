# pg_cron, in both of its modes: each night goes on where the last one stopped,
# and a second schedule of the same job skips quietly.
#
# '@reboot' is the night here, since a restart does not make us wait; README's
# schedule is run as it stands there, then every minute instead of every night.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $rows = 2000;
my $chunk = 10;
my ($recipe) =
  slurp_file("$FindBin::RealBin/../../../README.md") =~ /^(SELECT cron\.schedule\(.*?\);)$/ms
  or die "README has no recipe for pg_cron\n";

my @modes = (
	{ name => 'libpq', workers => 'off' },
	{ name => 'background workers', workers => 'on' });

my $probe = PostgreSQL::Test::Cluster->new('probe');
if (!-e $probe->config_data('--pkglibdir') . '/pg_cron.so')
{
	plan skip_all => 'pg_cron is not installed for this server';
}

for my $mode (@modes)
{
	my $node = PostgreSQL::Test::Cluster->new("cron_$mode->{workers}");
	$node->init;
	$node->append_conf('postgresql.conf', "
		shared_preload_libraries = 'pg_cron'
		cron.host = '" . $node->host . "'
		cron.use_background_workers = $mode->{workers}
		log_statement = none
		log_min_messages = notice");
	$node->start;
	$mode->{node} = $node;
	connect_to($mode);
	query($mode, $_) for (
		'CREATE EXTENSION streamiter',
		'CREATE EXTENSION pg_cron',
		'CREATE TABLE users (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0)',
		"INSERT INTO users SELECT generate_series(1, $rows)",
		q{SELECT streamiter.register_statement('count',
			'UPDATE users SET n = n + 1 WHERE id = ANY ($1)')},
		qq{SELECT streamiter.create_job('domains', 'SELECT id FROM users', 'count',
			chunk_size => $chunk, batch_pause => '20 ms')},
		q{SELECT cron.schedule('night', '@reboot',
			$$CALL streamiter.run('domains', max_duration => '1 second')$$)});
}

sub connect_to
{
	my $mode = shift;
	return $mode->{db} = Session->wait_for_server($mode->{node});
}
sub query { my ($mode, $sql) = @_; return $mode->{db}->query($sql); }

# What came of the scheduled calls so far
sub outcomes
{
	my $mode = shift;
	return query($mode, 'SELECT status, count(*) FROM cron.job_run_details GROUP BY 1 ORDER BY 1');
}
sub wait_for_successes
{
	my ($mode, $count) = @_;
	return $mode->{db}->poll(
		"SELECT count(*) FILTER (WHERE status = 'failed') > 0
			OR count(*) FILTER (WHERE status = 'succeeded') >= $count FROM cron.job_run_details");
}

sub wait_for_log
{
	my ($mode, $pattern) = @_;
	my $limit = time + $Session::patience;

	while (slurp_file($mode->{node}->logfile) !~ $pattern)
	{
		die "not in the log: $pattern\n" if time > $limit;
		select(undef, undef, undef, 0.1);
	}
	return;
}

# Some nights are too short for the work
my @done = (0, 0);
for my $night (1, 2)
{
	$_->{node}->restart for @modes;
	connect_to($_) for @modes;
	for my $i (0 .. 1)
	{
		my $mode = $modes[$i];

		wait_for_successes($mode, $night);
		is(outcomes($mode), "succeeded|$night", "$mode->{name}: night $night is a success");
		is(query($mode, 'SELECT state FROM streamiter.jobs'), 'stopped', '... that ends at max_duration');
		my $done = query($mode, 'SELECT rows FROM streamiter.jobs');
		ok($done > $done[$i] && $done < $rows, "... and gets on: $done rows");
		$done[$i] = $done;
		is(query($mode, "SELECT count(*), sum(n) FROM users WHERE n > 0"), "$done|$done",
			'... each of them once');
	}
}

# The recipe, twice, and a job that does not end by itself: whoever comes second
# finds it running
for my $mode (@modes)
{
	query($mode, $_) for (
		q{SELECT cron.unschedule('night')},
		'DELETE FROM cron.job_run_details',
		q{SELECT streamiter.alter_job('domains', batch_pause => '1 h')},
		$recipe,
		q{SELECT cron.schedule('again', schedule, command) FROM cron.job});
	is(query($mode, 'SELECT count(*), count(DISTINCT command), min(schedule) FROM cron.job'),
		'2|1|0 1 * * *', "$mode->{name}: README's schedule, and once more");
	query($mode, q{SELECT cron.alter_job(jobid, schedule => '* * * * *') FROM cron.job});
}
for my $i (0 .. 1)
{
	my $mode = $modes[$i];

	# with background workers pg_cron writes down who skipped only when the one that
	# runs has ended, so look into the server's log
	wait_for_log($mode, qr/NOTICE:  job "domains" is already running/);
	query($mode, q{SELECT cron.alter_job(jobid, schedule => '0 0 30 2 *') FROM cron.job});
	is(query($mode, 'SELECT state FROM streamiter.jobs'), 'running', "$mode->{name}: one of two runs it, the other has skipped");

	query($mode, q{CALL streamiter.run('domains')});
	is($mode->{db}->notices, 'job "domains" is already running', '... which also psql is told');

	query($mode, q{SELECT streamiter.alter_job('domains', batch_pause => '0')});
	wait_for_successes($mode, 2);
	is(outcomes($mode), 'succeeded|2', '... both are successes');
	is(query($mode, 'SELECT state, rows FROM streamiter.jobs'), "finished|$rows", '... and the job has finished');
	is(query($mode, 'SELECT count(*) FROM streamiter.runs'), '3', '... in its third run');
	is(query($mode, 'SELECT count(*) FROM users WHERE n <> 1'), '0', '... every row once');
	unlike(slurp_file($mode->{node}->logfile), qr/ERROR|WARNING|PANIC|terminated by signal/, '... without a complaint in the log');
}

$_->{node}->stop for @modes;
done_testing();
