# README.md keeps its word: its SQL runs, from top to bottom, and prints what is
# shown; its C compiles; the make targets, files and settings it names are there.
# So are the files that src/README.md names, and it names all of them.

use strict;
use warnings;

use File::Basename;
use File::Copy;
use File::Path;
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../../..";
my $readme = slurp_file("$top/README.md");
my $source = slurp_file("$top/src/README.md");

# [language, what is in the block, what the block right behind it shows]
my @blocks;
while ($readme =~ /^```(\w*)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?/msg)
{
	push @blocks, [ $1, $2, $3 ];
}
sub blocks_of
{
	my ($language) = @_;
	return grep { $_->[0] eq $language } @blocks;
}

# The make that runs us would pass its own flags on
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
my $pg_config = $node->config_data('--bindir') . '/pg_config';

# The C module, from README's Makefile.  The header is where it is installed.
my $module = PostgreSQL::Test::Utils::tempdir();
my ($c) = blocks_of('c');
my ($makefile) = blocks_of('make');
my ($name) = $makefile->[1] =~ /^MODULES = (\w+)$/m;
append_to_file("$module/$name.c", $c->[1]);
append_to_file("$module/Makefile", $makefile->[1]);
mkpath("$module/include/extension/streamiter");
copy("$top/src/streamiter.h", "$module/include/extension/streamiter/") or die $!;
{
	my $bindir = $node->config_data('--bindir');
	local $ENV{PATH} = "$bindir:$ENV{PATH}";
	command_ok(
		[ 'make', '-s', '-C', $module, 'with_llvm=no', "COPT=-Werror -I$module/include" ],
		"$name.c compiles");
}
$node->append_conf('postgresql.conf', "dynamic_library_path = '$module:\$libdir'\nautovacuum = off");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE readme');
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'readme';
# A slow machine would get lines of progress between those that are shown
$ENV{PGOPTIONS} = '-c streamiter.progress_interval=0';

# What may differ from one run to the next, and the widths that follow from it
sub comparable
{
	my ($text) = @_;

	$text =~ s/\d\d:\d\d:\d\d\.\d+/TIME/g;
	$text =~ s/(peak_batch_bytes\s*\|) \d+/$1 BYTES/g;
	$text =~ s/-+/-/g;
	$text =~ s/[ \t]+/ /g;
	$text =~ s/ $//mg;
	$text =~ s/\s+\z//;
	return $text;
}

sub run_block
{
	my ($block, $what, @command) = @_;
	my ($language, $code, $shown) = @$block;
	my $output = '';

	# files of ours, not of everybody's
	$code =~ s{'/tmp/}{'$module/}g;

	IPC::Run::run(\@command, '<', \$code, '>&', \$output);
	my $failed = $? != 0 ? 1 : 0;
	$output =~ s/^psql:<stdin>:\d+: //mg;
	my $must_fail = defined $shown && $shown =~ /^ERROR:/m ? 1 : 0;
	is($failed, $must_fail, "$what " . ($must_fail ? 'fails as shown' : 'runs'))
	  or diag($output);
	is(comparable($output), comparable($shown), "$what prints what is shown")
	  if defined $shown;
	return;
}

# A line of the block that tells it from the others
sub title
{
	my ($code) = @_;
	my ($title) = $code =~ /^(.*streamiter\..*)$/m;
	($title) = $code =~ /^(.+)$/m unless defined $title;
	return $title;
}

# SQL, one block after the other, each in a session of its own
my @sql = blocks_of('sql');
cmp_ok(scalar @sql, '>', 10, 'there are examples in SQL');
run_block($_, title($_->[1]), 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1')
  foreach @sql;

# Python, where there is what it needs
SKIP:
{
	my $python = '/usr/bin/python3';
	skip 'no psycopg2', 1
	  if system("$python -c 'import psycopg2' >/dev/null 2>&1") != 0;
	run_block($_, 'Python', $python, '-') foreach blocks_of('python');
}

# Settings, with their bounds
my $settings = $node->safe_psql(
	'readme', q{
	LOAD '$libdir/streamiter';
	SELECT format('%s %s %s %s', name, boot_val || coalesce(unit, ''),
		min_val || coalesce(unit, ''), max_val || coalesce(unit, ''))
	FROM pg_settings WHERE name LIKE 'streamiter.%' AND name IN (} .
	  join(', ', map { "'$_'" } $readme =~ /^\| `(streamiter\.\w+)` \| /mg) .
	  q{) ORDER BY name COLLATE "C"});
my $listed = '';
foreach ($readme =~ /^(\| `streamiter\.\w+` \| .*)$/mg)
{
	my (undef, @cells) = split / *\| */;
	$cells[0] =~ tr/`//d;
	# as pg_settings has them
	s/^(\d+)MB$/($1 * 1024) . 'kB'/e foreach @cells;
	$listed .= join(' ', @cells[ 0 .. 3 ]) . "\n";
}
is($listed, "$settings\n", 'settings are as listed');

# Parameters.  A heading names the functions whose table comes behind it; a row
# that is not of all of them says of which: `filter` (purge, archive).
my $tables = 0;
while ($readme =~ /^#+ ([a-z_, ]+)\n(?:(?!#).*\n)*?\| parameter \| type \| .*\n.*\n((?:\|.*\n)+)/mg)
{
	my ($functions, $rows) = ($1, $2);
	foreach my $function (split /, /, $functions)
	{
		my @parameters;
		foreach (split /\n/, $rows)
		{
			my (undef, $cell, $type, $default) = split / *\| */;
			my ($parameter, undef, $only) = $cell =~ /^`(\w+)`( \((.*)\))?$/;
			next if defined $only && !grep { $_ eq $function } split /, /, $only;
			push @parameters, join(' ', $parameter, map { tr/`//dr } $type, $default);
		}
		is(join("\n", @parameters), $node->safe_psql('readme', qq{
			SELECT format('%s %s %s', name, type::regtype, regexp_replace(
				pg_get_function_arg_default(p.oid, n::integer), '::[^:]*\$', ''))
			FROM pg_proc p, unnest(proargnames[:pronargs], proargtypes::oid[])
				WITH ORDINALITY a (name, type, n)
			WHERE pronamespace = 'streamiter'::regnamespace AND proname = '$function'
			ORDER BY n}),
			"parameters of $function are as listed");
		$tables++;
	}
}
is($tables, 7, 'that many functions have a table of parameters');

# Views
my ($views) = $readme =~ /^\| view \| .*\n.*\n((?:\|.*\n)+)/m;
is(join("\n", sort $views =~ /^\| `(\w+)` \| /mg), $node->safe_psql('readme', q{
	SELECT viewname FROM pg_views WHERE schemaname = 'streamiter' ORDER BY viewname COLLATE "C"}),
	'every view is listed');

# Commands and files
my %targets = map { $_ => 1 } $readme =~ /^(?:sudo )?make ?([a-z-]*)$/mg,
  $readme =~ /`make ([a-z-]+)[^`]*`/g;
ok($targets{test}, 'make test is named');
foreach my $target (sort grep { $_ ne '' } keys %targets)
{
	command_ok([ 'make', '-n', '-C', $top, "PG_CONFIG=$pg_config", $target ],
		"make $target exists");
}
my @files = "$readme$source" =~ m!\b((?:src|sql|expected)/[\w./-]*[\w/])!g;
is_deeply([ grep { !-e "$top/$_" } @files ], [], 'files are there');
my %listed = map { $_ => 1 } $source =~ m!`(src/[\w-]+\.c)`!g;
is_deeply([ grep { !$listed{"src/$_"} } map { basename($_) } glob("$top/src/*.c") ],
	[], 'src/README.md lists every C file');

# Headings that links name, made as GitHub does
my %anchors;
foreach my $heading ($readme =~ /^#+ (.+)$/mg)
{
	my $anchor = lc $heading;
	$anchor =~ s/[^\w -]//g;
	$anchor =~ tr/ /-/;
	$anchors{$anchor} = 1;
}
is_deeply([ grep { !$anchors{$_} } $readme =~ /\]\(#([^)]*)\)/g ], [], 'links lead to headings');

done_testing();
