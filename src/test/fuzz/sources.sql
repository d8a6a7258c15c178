-- What sqlsmith makes its queries of: small tables with values, extremes and
-- NULLs of many types, which nobody changes

CREATE TYPE mood AS ENUM ('sad', 'so-so', 'happy');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE pair AS (a integer, b text);

CREATE TABLE base (
	id integer PRIMARY KEY, b boolean, i2 smallint, i4 integer, i8 bigint,
	f4 real, f8 double precision, num numeric, num52 numeric(5, 2), txt text,
	vc varchar(20), ch char(5), nm name, ba bytea, d date, t time, tt timetz,
	ts timestamp, tz timestamptz, iv interval, u uuid, js json, jb jsonb,
	mo money, ip inet, mac macaddr, bits bit(5), vbits varbit, o oid, pt point,
	bx box, rng int4range, mrng int8multirange, e mood, pos positive, p pair,
	ai integer[], at text[], ap pair[], lsn pg_lsn, tsv tsvector);
INSERT INTO base
SELECT i, i % 2 = 0, i, i * 100000, i * 10000000000, i / 7.0, i / 3.0, i / 11.0, i,
	'text ' || i, 'varchar ' || i, 'c' || i, 'name' || i, decode(md5(i::text), 'hex'),
	date '2024-02-28' + i, time '00:00' + i * interval '17 min', '12:34:56+02',
	timestamp '2024-02-28' + i * interval '1.5 day', timestamptz '2024-02-28 UTC' + i * interval '3 h',
	i * interval '1 month 3 days', md5(i::text)::uuid, '{"a": [1, null]}', jsonb_build_object('i', i),
	i, '10.0.0.0'::inet + i, '08:00:2b:01:02:03', '10101', '101', i, point(i, -i),
	box(point(0, 0), point(i, i)), int4range(i, i + 5), '{[1,2),[5,6)}',
	(enum_range(NULL::mood))[1 + i % 3], i, ROW(i, 'b')::pair, ARRAY[i, NULL, 3], ARRAY['a', NULL],
	ARRAY[ROW(i, 'x')::pair], '16/B374D848', 'a fat cat'
FROM generate_series(1, 60) i;
INSERT INTO base (id, i8, f8, num, txt, d, ts, tz)
VALUES (1000, '-9223372036854775808', 'NaN', 'NaN', '', '-infinity', 'infinity', '-infinity'),
	(1001, 9223372036854775807, '-Infinity', 'Infinity', E'\t\\ "\n', 'infinity', '-infinity', 'infinity');
INSERT INTO base (id) SELECT generate_series(2000, 2010);

CREATE TABLE nothing (id bigint PRIMARY KEY, v text);
CREATE TABLE wide (id bigint PRIMARY KEY, v text);
ALTER TABLE wide ALTER v SET STORAGE EXTERNAL;
INSERT INTO wide SELECT i, repeat(i::text, i * 300) FROM generate_series(1, 40) i;
CREATE TABLE parted (id integer, v text, at date) PARTITION BY LIST (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1, 2, 3);
CREATE TABLE parted_0 PARTITION OF parted DEFAULT;
INSERT INTO parted SELECT i % 10, 'v' || i, date '2020-01-01' + i FROM generate_series(1, 80) i;
CREATE TABLE child (more integer) INHERITS (nothing);
INSERT INTO child SELECT i, 'child', i FROM generate_series(1, 10) i;
CREATE VIEW joined AS SELECT b.id, b.txt, w.v FROM base b LEFT JOIN wide w ON w.id = b.id;
CREATE VIEW grouped AS SELECT id % 7 AS k, count(*) AS n, max(txt) AS t FROM base GROUP BY 1;

ANALYZE base, wide, parted;
