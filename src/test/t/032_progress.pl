# Progress: jobs and walks as another session sees them while they run, the lines
# that a CALL sends, and pg_stat_activity where there is no shared memory.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('progress');
$node->init;
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION streamiter;
	CREATE TABLE item (id integer PRIMARY KEY, v integer NOT NULL DEFAULT 0);
	INSERT INTO item SELECT g * 10 FROM generate_series(1, 2000) g;
	ANALYZE item;
	CREATE FUNCTION slow(item) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_sleep(0.002);
	END $$;
	SELECT streamiter.create_job('slow', 'TABLE item', 'slow(item)',
		chunk_size => 100);
});

# psql in the background: a statement, and what came of it
sub start
{
	my ($sql, %settings) = @_;
	my ($out, $err) = ('', '');
	local $ENV{PGOPTIONS} = join ' ', map { "-c $_=$settings{$_}" } keys %settings;
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'),
		map { ('-c', $_) } split /;/, $sql ], '<', \undef, '>', \$out, '2>', \$err);
	return [ $session, \$out, \$err ];
}

# Asks until it answers, for a minute or more
sub poll
{
	my ($sql) = @_;

	foreach (1 .. 3000)
	{
		my $answer = $node->safe_psql('postgres', $sql);
		return $answer if $answer ne '';
		usleep(20_000);
	}
	return '';
}

# A job, watched from here, while rows are inserted before and behind it
my $run = start(q{CALL streamiter.run('slow')}, 'streamiter.progress_interval' => '1s');
isnt(poll(q{SELECT pid FROM streamiter.progress WHERE state = 'running' AND rows > 0}),
	'', 'a running job shows');
my @percents;
my @bad;
my $state = 'running';
my $rate = '';
for (my $i = 0; $state eq 'running' && $i < 3000; $i++)
{
	my ($percent, $rows, $total, $done, $eta);

	$node->safe_psql('postgres', "INSERT INTO item SELECT g * 10 + 1 + $i % 9
		FROM generate_series(1, 2000, 7) g ON CONFLICT DO NOTHING") if $i < 20;
	($state, $percent, $rows, $total, $done, $eta) = split /\|/, $node->safe_psql('postgres',
		q{SELECT state, percent, rows, total_rows,
			(SELECT bool_and(s.done) FROM streamiter.slices s WHERE s.name = progress.name),
			rows_per_second > 0 AND eta > now() - interval '5 s'
		FROM streamiter.progress WHERE name = 'slow'});
	push @percents, $percent;
	push @bad, $percent if $total != 2000 || ($percent >= 100) != ($done eq 't');
	$rate = 't' if $eta eq 't';
	usleep(50_000);
}
is($state, 'finished', 'it finishes');
is_deeply(\@bad, [], 'the total stays, and it is at 100 % when all rows are done');
is_deeply([ grep { $percents[$_] < $percents[$_ - 1] } 1 .. $#percents ], [],
	'percent never falls');
cmp_ok($percents[0], '<', 100, 'it begins below 100');
is($percents[-1], 100, 'and ends at 100');
is($rate, 't', 'there was a rate and an ETA');

# What it told its client
$run->[0]->finish;
my @lines = ${$run->[2]} =~ /^(NOTICE:  job "slow": .*)$/mg;
cmp_ok(scalar @lines, '>=', 3, 'a line a second');
is_deeply([ grep {
	!/^NOTICE:  job "slow": \d+\.\d% \[#*\.*\] \d+ of about \d+ rows, \d+ rows\/s(, \d+ s left)?$/
	} @lines ], [], 'they are as they should be');
my @told = map { /: ([\d.]+)%/ } @lines;
is_deeply([ grep { $told[$_] < $told[$_ - 1] } 1 .. $#told ], [],
	'percent never falls there either');

# None if not asked for, nor where a job is fast
$node->safe_psql('postgres', q{SELECT streamiter.create_job('few',
	'SELECT * FROM item WHERE id <= 4000', 'slow(item)', chunk_size => 10)});
$run = start(q{CALL streamiter.run('few', max_duration => '2 s')},
	'streamiter.progress_interval' => '0');
$run->[0]->finish;
unlike(${$run->[2]}, qr/%/, 'no line with progress_interval 0');

# What a job waits for
$node->safe_psql('postgres', q{
	SELECT streamiter.create_job('resting', 'TABLE item', 'slow(item)',
		chunk_size => 10, batch_pause => '1 hour')});
$run = start(q{CALL streamiter.run('resting')}, 'streamiter.progress_interval' => '1s');
is(poll(q{SELECT wait_reason FROM streamiter.progress WHERE name = 'resting'
	AND wait_reason IS NOT NULL}), 'batch_pause', 'a pause shows as what it waits for');
my $waits = qr/^NOTICE:  job "resting": .*, waiting for batch_pause$/m;
for (my $i = 0; ${$run->[2]} !~ $waits && $run->[0]->pumpable && $i < 3000; $i++)
{
	usleep(20_000);
	$run->[0]->pump_nb;
}
$node->safe_psql('postgres', q{SELECT streamiter.pause('resting')});
$run->[0]->finish;
like(${$run->[2]}, $waits, 'and in its line');

# Rows tried again: a job that was at 100 % stays there, in its lines too
$node->safe_psql('postgres', q{
	CREATE FUNCTION bad(integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF $1 % 10000 = 0 THEN RAISE 'bad'; END IF;
	END $$;
	SELECT streamiter.create_job('again', 'SELECT id FROM item', 'bad(integer)', on_error => 'skip');
	CALL streamiter.run('again');
	SELECT streamiter.retry_skipped('again');
	SELECT streamiter.alter_job('again', batch_pause => '1 hour')});
$run = start(q{CALL streamiter.run('again')}, 'streamiter.progress_interval' => '1s');
is(poll(q{SELECT state, percent FROM streamiter.progress WHERE name = 'again'
	AND wait_reason IS NOT NULL}), 'running|100', 'rows tried again do not lower it');
for (my $i = 0; ${$run->[2]} !~ /waiting/ && $run->[0]->pumpable && $i < 3000; $i++)
{
	usleep(20_000);
	$run->[0]->pump_nb;
}
$node->safe_psql('postgres', q{SELECT streamiter.pause('again')});
$run->[0]->finish;
like(${$run->[2]}, qr/^NOTICE:  job "again": 100\.0% .*, waiting for batch_pause$/m, 'nor in its line');

# A walk: without shared memory, before its statement in pg_stat_activity
my $walk = q{SELECT rows FROM streamiter.for_each('TABLE item', 'slow(item)', chunk_size => 50)};
my $shared = $node->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int >= 170000});
my $shown = qq{SELECT percent, rows, total_rows, query, owner = current_user::regrole
	FROM streamiter.progress WHERE kind = 'for_each' AND rows > 0 AND rows_per_second > 0};
my $activity = q{SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()
	AND query ~ 'rows/s.*SELECT rows FROM streamiter.for_each'};
$run = start($walk);
if ($shared eq 't')
{
	like(poll($shown), qr/^[\d.]+\|\d+\|\d+\|TABLE item\|t$/, 'a walk shows');
}
else
{
	like(poll($activity), qr/^\d+\.\d% \[#*\.*\] \d+ of about \d+ rows, \d+ rows\/s.*: SELECT rows/,
		'a walk shows in pg_stat_activity');
}
$run->[0]->finish;
is($node->safe_psql('postgres', $shown), '', 'it does no longer when it is over');

# An error in the middle takes it away, too
$node->safe_psql('postgres', q{CREATE FUNCTION fail(item) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_sleep(0.002), 1 / ($1.id - 9000);
	END $$;});
$run = start(q{SELECT rows FROM streamiter.for_each('TABLE item', 'fail(item)', chunk_size => 50);
	SELECT 'me', query FROM pg_stat_activity WHERE pid = pg_backend_pid();
	SELECT 'walks', count(*) FROM streamiter.progress WHERE kind = 'for_each'});
$run->[0]->finish;
like(${$run->[2]}, qr/division by zero/, 'an error ends a walk');
like(${$run->[1]}, qr/^me\|\s*SELECT.*^walks\|0$/ms, 'nothing of it is left then');

# With the library preloaded
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'streamiter'");
$node->restart;
# one that lasts until it is ended
$run = start($walk =~ s/TABLE item/SELECT item.* FROM item, generate_series(1, 1000)/r);
like(poll($shown), qr/^[\d.]+\|\d+\|\d+\|SELECT item\..*\|t$/, 'a walk shows with the library preloaded');
is($node->safe_psql('postgres', q{
	CREATE ROLE regress_streamiter_watcher;
	SET ROLE regress_streamiter_watcher;
	SELECT count(*) FROM streamiter.progress;}), '0', 'but not to everybody');
is($node->safe_psql('postgres', q{
	GRANT pg_read_all_stats TO regress_streamiter_watcher;
	SET ROLE regress_streamiter_watcher;
	SELECT count(*) FROM streamiter.progress WHERE kind = 'for_each';}), '1',
	'though to those who may read all statistics');

# Ended from outside, its slot is free again
is($node->safe_psql('postgres', q{SELECT count(pg_terminate_backend(pid, 10000))
	FROM streamiter.progress WHERE kind = 'for_each'}), '1', 'a walk is ended');
$run->[0]->finish;
is($node->safe_psql('postgres', q{SELECT count(*) FROM streamiter.progress
	WHERE kind = 'for_each'}), '0', 'and shows no longer');

$node->stop;
done_testing();
