# Workbooks, read back by openpyxl and by LibreOffice: cells have the values and
# the types that README.md says.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $python = '/usr/bin/python3';
my $node = PostgreSQL::Test::Cluster->new('xlsx');
$node->init;
$node->append_conf('postgresql.conf', "jit = off");
$node->start;
my $db = Session->new($node, TimeZone => 'Asia/Kolkata');
my $dir = PostgreSQL::Test::Utils::tempdir();
$db->query('CREATE EXTENSION streamiter');

# Without the library there is an error that says what to do
my $tried = $db->try("SELECT streamiter.export('SELECT 1', '$dir/try.xlsx', 'xlsx')");
if ($tried->{error})
{
	is($tried->{error}{code}, '0A000', 'no XLSX in this build');
	like($tried->{error}{hint}, qr/libxlsxwriter/, 'and what to do about it');
	$node->stop;
	done_testing();
	exit;
}

sub export
{
	my ($query, $file, @more) = @_;
	my $arguments = join ', ', "\$query\$$query\$query\$", "'$dir/$file'", "'xlsx'", @more;

	utf8::encode($arguments);
	return "SELECT rows FROM streamiter.export($arguments)";
}

# Each cell as TYPE:VALUE, as openpyxl sees it; without a file, whether there is
# an openpyxl
my $reader = <<'PYTHON';
import sys
import openpyxl
if len(sys.argv) > 1:
    for sheet in openpyxl.load_workbook(sys.argv[1]):
        print("sheet", sheet.title, sheet.max_row, sheet.freeze_panes)
        for row in sheet.iter_rows():
            if row[0].row <= 100:
                for cell in row:
                    value = cell.value
                    if cell.data_type == "d":
                        value = value.isoformat(timespec="milliseconds")
                    print(cell.coordinate, cell.data_type, repr(value), sep=":")
PYTHON

sub read_back
{
	my ($file) = @_;
	my ($output, $error);
	local $ENV{PYTHONIOENCODING} = 'utf-8';

	IPC::Run::run([ $python, '-c', $reader, "$dir/$file" ], '>', \$output, '2>', \$error)
	  or die "openpyxl: $error\n";
	utf8::decode($output);
	return $output;
}

# Expression, and the type and value that the cell is to have
my @values = (
	[ '1::int2', 'n', '1' ],
	[ '(-2147483648)::int4', 'n', '-2147483648' ],
	[ '9007199254740992::int8', 'n', '9007199254740992' ],
	[ '(-9007199254740992)::int8', 'n', '-9007199254740992' ],
	[ '9007199254740993::int8', 's', "'9007199254740993'" ],
	[ '9223372036854775807::int8', 's', "'9223372036854775807'" ],
	[ '3.14::float4', 'n', '3.14' ],
	[ '1e-45::float4', 'n', '1e-45' ],
	[ '0.1::float8', 'n', '0.1' ],
	[ '1e300::float8', 'n', '1e+300' ],
	[ "'-0'::float8", 'n', '0' ],
	[ "'NaN'::float8", 's', "'NaN'" ],
	[ "'-Infinity'::float4", 's', "'-Infinity'" ],
	[ "'1.7e308'::float8", 's', "'1.7e+308'" ],
	[ "'5e-324'::float8", 's', "'5e-324'" ],
	[ '1.50::numeric', 'n', '1.5' ],
	[ '100::numeric', 'n', '100' ],
	[ '-123456789.012345::numeric', 'n', '-123456789.012345' ],
	[ '1234567890.123456::numeric', 's', "'1234567890.123456'" ],
	[ '9007199254740991::numeric', 'n', '9007199254740991' ],
	[ '9007199254740993::numeric', 's', "'9007199254740993'" ],
	[ '1e20::numeric', 'n', '1e+20' ],
	[ "'1e400'::numeric", 's', "'1" . '0' x 400 . "'" ],
	[ "'1e-400'::numeric", 's', "'0." . '0' x 399 . "1'" ],
	[ "'NaN'::numeric", 's', "'NaN'" ],
	[ 'true', 'b', 'True' ],
	[ 'false', 'b', 'False' ],
	[ "'2026-02-28'::date", 'd', "'2026-02-28T00:00:00.000'" ],
	[ "'1900-03-01'::date", 'd', "'1900-03-01T00:00:00.000'" ],
	[ "'1900-02-28'::date", 's', "'1900-02-28'" ],
	[ "'9999-12-31'::date", 'd', "'9999-12-31T00:00:00.000'" ],
	[ "'10000-01-01'::date", 's', "'10000-01-01'" ],
	[ "'infinity'::date", 's', "'infinity'" ],
	[ "'0044-03-15 BC'::date", 's', "'0044-03-15 BC'" ],
	[ "'2026-02-28 12:34:56'::timestamp", 'd', "'2026-02-28T12:34:56.000'" ],
	[ "'2026-02-28 12:34:56.789'::timestamp", 'd', "'2026-02-28T12:34:56.789'" ],
	[ "'2026-02-28 23:59:59.999'::timestamp", 'd', "'2026-02-28T23:59:59.999'" ],
	[ "'1900-02-28 23:59:59'::timestamp", 's', "'1900-02-28 23:59:59'" ],
	[ "'infinity'::timestamp", 's', "'infinity'" ],
	[ "'2026-02-28 12:00:00+00'::timestamptz", 'd', "'2026-02-28T17:30:00.000'" ],
	[ "'-infinity'::timestamptz", 's', "'-infinity'" ],
	[ "'12:34:56'::time", 's', "'12:34:56'" ],
	[ "'1 day 02:00'::interval", 's', "'1 day 02:00:00'" ],
	[ 'NULL::int', 'n', 'None' ],
	[ "''::text", 'n', 'None' ],
	[ "'text'", 's', "'text'" ],
	[ "' blanks  '", 's', "' blanks  '" ],
	[ "E'a\\nb\\tc'", 's', "'a\\nb\\tc'" ],
	[ "'=1+1'", 's', "'=1+1'" ],
	[ "'+1'", 's', "'+1'" ],
	[ "'\@SUM(1)'", 's', "'\@SUM(1)'" ],
	[ "'{=1}'", 's', "'{=1}'" ],
	[ "'#REF!'", 's', "'#REF!'" ],
	[ "'http://example.com/'", 's', "'http://example.com/'" ],
	[ "'mailto:a\@b'", 's', "'mailto:a\@b'" ],
	[ "'<b>&amp;\"''</b>]]>'", 's', "'<b>&amp;\"\\'</b>]]>'" ],
	[ "'123'", 's', "'123'" ],
	[ "'ä€😀'", 's', "'ä€😀'" ],
	[ "'\\x00ff'::bytea", 's', "'\\\\x00ff'" ],
	[ "'{\"a\": 1}'::jsonb", 's', "'{\"a\": 1}'" ],
	[ "ARRAY[1, NULL]", 's', "'{1,NULL}'" ],
	[ "ROW(1, 'a b')", 's', "'(1,\"a b\")'" ],
);

SKIP:
{
	skip 'needs openpyxl', 1 if !IPC::Run::run([ $python, '-c', $reader ], '2>', '/dev/null');

	my $columns = join ', ', map { "$values[$_][0] AS c$_" } 0 .. $#values;
	$db->query(export("SELECT $columns", 'types.xlsx', 'header => false'));
	my @cells = split /\n/, read_back('types.xlsx');
	is(shift @cells, 'sheet Sheet1 1 None', 'one row, no header');
	for my $i (0 .. $#values)
	{
		my ($expression, $type, $value) = @{ $values[$i] };
		my (undef, $got) = split /:/, $cells[$i] // '', 2;

		# 18 lets no test have a name of wide characters
		is($got, "$type:$value", $expression =~ s/[^ -~]/?/gr);
	}

	# control characters, and what looks like one: as the file has them
	$db->query(export("SELECT E'a\\u0001b\\rc' AS \"x_x0041_\", '_x0041_', U&'\\FFFE\\FFFF'", 'escaped.xlsx'));
	my $escaped = slurp_sheet('escaped.xlsx', 1);
	like($escaped, qr/>a_x0001_b_x000D_c</, 'control characters');
	like($escaped, qr/>_x005F_x0041_</, 'a text that looks like one');
	like($escaped, qr/>_xFFFE__xFFFF_</, 'what XML does not allow');
	like($escaped, qr/>x_x005F_x0041_</, 'in a header');

	# every row is there, be it blank
	is($db->query(export('VALUES (1, NULL), (NULL, NULL), (2, NULL), (NULL, NULL)', 'blank.xlsx')), '4', 'blank rows');
	like(read_back('blank.xlsx'), qr/^sheet Sheet1 5 A2$/m, 'are rows, below a frozen header');
	is($db->query(export("SELECT NULL::int AS a, ''::text AS b", 'null.xlsx', "null_string => 'NULL'")), '1', 'null_string');
	like(read_back('null.xlsx'), qr/^A2:s:'NULL'$/m, 'is the text of NULL');
	like(read_back('null.xlsx'), qr/^B2:n:None$/m, 'and of nothing else');
	is($db->query(export('SELECT 1 AS a, 2 AS a WHERE false', 'empty.xlsx')), '0', 'no rows');
	is(read_back('empty.xlsx'), "sheet Sheet1 1 A2\nA1:s:'a'\nB1:s:'a'\n", 'but the header');
	is($db->query(export('SELECT 1 WHERE false', 'nothing.xlsx', 'header => false')), '0', 'neither rows nor header');
	like(read_back('nothing.xlsx'), qr/^sheet Sheet1 1 None$/m, 'are a workbook too');

	# names that a table's columns do not have
	$db->query('CREATE TABLE t AS SELECT 1 AS a');
	$db->query(export('SELECT * FROM t AS t(b)', 'alias.xlsx'));
	like(read_back('alias.xlsx'), qr/^A1:s:'b'$/m, 'headers are the names in the query');

	# the greatest text, in characters as Excel counts them
	is($db->query(export("SELECT repeat('x', 32767), repeat('😀', 16383)", 'long.xlsx')), '1', 'texts that fill a cell');
	like(read_back('long.xlsx'), qr/^A2:s:'x{32767}'$/m, 'are all there');

	# the widest query
	my $wide = join ', ', map { "$_ AS c$_" } 1 .. 1600;
	$db->query(export("SELECT $wide", 'wide.xlsx'));
	like(read_back('wide.xlsx'), qr/^BIN2:n:1600$/m, 'a query of 1600 columns');
}

# The XML of a sheet
sub slurp_sheet
{
	my ($file, $number) = @_;
	my $output;

	IPC::Run::run([ $python, '-c', 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))',
		"$dir/$file", "xl/worksheets/sheet$number.xml" ], '>', \$output) or die "no sheet $number in $file\n";
	return $output;
}

# What is refused
for my $refused (
	[ "SELECT g, CASE WHEN g = 3 THEN repeat('x', 32768) END AS long FROM generate_series(1, 5) g", '54000', qr/row 3, column "long"/ ],
	[ "SELECT repeat('😀', 16384)", '54000', qr/row 1/ ],
	[ 'SELECT', '0A000', qr/without columns/ ])
{
	my ($query, $code, $message) = @$refused;
	my $error = $db->try(export($query, 'refused.xlsx'))->{error};

	is($error->{code}, $code, "refused: $query" =~ s/[^ -~]/?/gr);
	like($error->{message}, $message, 'and said where');
	ok(!-e "$dir/refused.xlsx" && !-e "$dir/refused.xlsx.streamiter", 'no file');
}

# More rows than a sheet has
{
	is($db->query(export('SELECT g AS n FROM generate_series(1, 1048577) g', 'sheets.xlsx')), '1048577', 'more rows than a sheet has');
	my ($first, $second) = map { slurp_sheet('sheets.xlsx', $_) } 1, 2;
	like(substr($first, -400), qr{<row r="1048576"><c r="A1048576"><v>1048575</v></c></row></sheetData>}, 'fill the first');
	like($second, qr{<row r="1"><c r="A1"[^>]*><is><t>n</t></is></c></row><row r="2"><c r="A2"><v>1048576</v></c></row><row r="3"><c r="A3"><v>1048577</v></c></row></sheetData>},
		'and go on in the second, under the same header');
	is(scalar(() = $first =~ /<row /g), 1048576, 'none is missing');
}

# LibreOffice, to CSV, which is what COPY writes
SKIP:
{
	my ($soffice) = grep { -x "$_/soffice" } split /:/, $ENV{PATH};
	skip 'needs LibreOffice', 1 if !$soffice;

	my $query = "SELECT g AS n, 'text ' || g AS \"a \"\"name\"\"\", '=1+' || g AS formula, g * 0.25 AS quarter, DATE '2026-01-01' + g AS day, E'line\\nbreak, \"quoted\"' AS t, NULL AS nothing FROM generate_series(1, 1000) g";
	$db->query(export($query, 'office.xlsx'));
	$db->query("COPY ($query) TO '$dir/copy.csv' (FORMAT csv, HEADER)");
	local $ENV{HOME} = $dir;
	my $log;
	IPC::Run::run([ "$soffice/soffice", '--headless', "-env:UserInstallation=file://$dir/profile",
		'--convert-to', 'csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true', '--outdir', "$dir/office", "$dir/office.xlsx" ], '>&', \$log);
	skip 'LibreOffice does not run here', 1 if !-e "$dir/office/office.csv";
	my $expected = slurp_file("$dir/copy.csv") =~ s/(\d)\.(\d?[1-9])?0+,/defined $2 ? "$1.$2," : "$1,"/ger;
	is(slurp_file("$dir/office/office.csv"), $expected, 'LibreOffice reads what COPY writes');
}

$node->stop;
unlike(slurp_file($node->logfile), qr/WARNING|PANIC|TRAP|terminated by signal/, 'the server has noticed nothing wrong');

done_testing();
