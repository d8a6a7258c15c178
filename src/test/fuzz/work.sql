-- What make fuzz has besides its sources: callbacks that note what they are
-- given, and tables with keys of many types for jobs to work on

-- What came in, and what a plain SELECT gives

CREATE UNLOGGED TABLE log (n bigint GENERATED ALWAYS AS IDENTITY, r text);
CREATE UNLOGGED TABLE expected (n bigint GENERATED ALWAYS AS IDENTITY, r text);

-- Rows of a query, by a plan for all of them or for a fast start: as text as a
-- whole, or their column r
CREATE FUNCTION expect(query text, fast boolean, whole boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	r record;
	it refcursor;
BEGIN
	IF fast THEN
		OPEN it NO SCROLL FOR EXECUTE query;
		LOOP
			FETCH it INTO r;
			EXIT WHEN NOT FOUND;
			INSERT INTO expected (r) VALUES (r.r);
		END LOOP;
		CLOSE it;
	ELSE
		FOR r IN EXECUTE query LOOP
			IF whole THEN
				INSERT INTO expected (r) VALUES (r::text);
			ELSE
				INSERT INTO expected (r) VALUES (r.r);
			END IF;
		END LOOP;
	END IF;
END $$;

-- Callbacks of walks.  Those of type text get rows that are text already.

CREATE FUNCTION note_record(record) RETURNS void LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO log (r) VALUES ($1::text); END $$;
CREATE FUNCTION note_plpgsql(text) RETURNS integer LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO log (r) VALUES ($1); RETURN 1; END $$;
CREATE FUNCTION note_sql(text) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO log (r) VALUES ($1) $$;
-- one expression: part of the walk's plan
CREATE FUNCTION note_expression(text) RETURNS integer LANGUAGE sql AS
	$$ SELECT note_plpgsql($1) + 1 $$;
CREATE FUNCTION note_strict(text) RETURNS integer STRICT LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO log (r) VALUES ($1); RETURN 1; END $$;
CREATE FUNCTION note_walk(text) RETURNS void LANGUAGE plpgsql AS
	$$ BEGIN PERFORM streamiter.for_each('SELECT $1', 'note_sql(text)', args => ROW($1)); END $$;
CREATE FUNCTION note_batch(text[]) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO log (r) SELECT * FROM unnest($1) $$;

-- Fails for some rows, by what is in them
CREATE FUNCTION is_bad(r text) RETURNS boolean LANGUAGE sql AS
	$$ SELECT hashtext(r) % nullif(current_setting('fuzz.modulus'), '')::integer = 0 $$;
CREATE FUNCTION good(r text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF is_bad(r) THEN
		RAISE EXCEPTION 'bad row' USING ERRCODE = 'UE001';
	END IF;
	RETURN r;
END $$;
CREATE FUNCTION good_plpgsql(text) RETURNS void LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO log (r) VALUES ($1); PERFORM good($1); END $$;
CREATE FUNCTION good_expression(text) RETURNS integer LANGUAGE sql AS
	$$ SELECT note_plpgsql(good($1)) $$;
CREATE FUNCTION good_batch(text[]) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO log (r) SELECT good(u) FROM unnest($1) u $$;

SELECT streamiter.register_callback('note batch', 'note_batch(text[])', per => 'batch');
SELECT streamiter.register_callback('good batch', 'good_batch(text[])', per => 'batch');
SELECT streamiter.register_statement('note statement', 'INSERT INTO log (r) SELECT * FROM unnest($1)');
SELECT streamiter.register_statement('good statement', 'INSERT INTO log (r) SELECT good(u) FROM unnest($1) u');

-- Tables for jobs: keys of many types, n times worked on

CREATE FUNCTION bump(n integer, bad boolean) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	IF bad THEN
		RAISE EXCEPTION 'bad row' USING ERRCODE = 'UE001';
	END IF;
	RETURN n + 1;
END $$;

-- Makes a table and its callbacks, from a key's types and an expression for
-- each of its columns
CREATE FUNCTION create_keyed(name text, types text[], keys text[], size integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	k integer := cardinality(types);
	columns text := (SELECT string_agg('k' || i, ', ' ORDER BY i) FROM generate_series(1, k) i);
	this text := (SELECT string_agg('k' || i || ' = ($1).k' || i, ' AND ' ORDER BY i) FROM generate_series(1, k) i);
	lower text := (SELECT string_agg('$' || i, ', ' ORDER BY i) FROM generate_series(1, k) i);
	upper text := (SELECT string_agg('$' || i + k, ', ' ORDER BY i) FROM generate_series(1, k) i);
BEGIN
	EXECUTE format('CREATE TABLE %I (%s, n integer NOT NULL DEFAULT 0, bad boolean NOT NULL DEFAULT false, payload text, PRIMARY KEY (%s))',
		name, (SELECT string_agg(format('k%s %s', i, types[i]), ', ' ORDER BY i) FROM generate_series(1, k) i), columns);
	EXECUTE format('INSERT INTO %I (%s, payload) SELECT %s, repeat(md5(i::text), i %% 5) FROM generate_series(1, %s) i ON CONFLICT DO NOTHING',
		name, columns, array_to_string(keys, ', '), size);
	EXECUTE format('CREATE FUNCTION row_%s(%I) RETURNS void LANGUAGE plpgsql AS %L', name, name,
		format('BEGIN UPDATE %I SET n = bump(n, bad) WHERE %s; END', name, this));
	EXECUTE format('CREATE FUNCTION sql_%s(%I) RETURNS void LANGUAGE sql AS %L', name, name,
		format('UPDATE %I SET n = bump(n, bad) WHERE %s', name, this));
	EXECUTE format('CREATE FUNCTION batch_%s(%I[]) RETURNS void LANGUAGE sql AS %L', name, name,
		format('UPDATE %I t SET n = bump(t.n, t.bad) FROM unnest($1) u WHERE (%s) = (%s)', name,
			regexp_replace(columns, 'k', 't.k', 'g'), regexp_replace(columns, 'k', 'u.k', 'g')));
	PERFORM streamiter.register_callback('batch ' || name, format('batch_%s(%I[])', name, name)::regprocedure, per => 'batch');
	PERFORM streamiter.register_statement('statement ' || name,
		format('UPDATE %I t SET n = bump(t.n, t.bad) FROM unnest(%s) AS u(%s) WHERE (%s) = (%s)', name, lower, columns,
			regexp_replace(columns, 'k', 't.k', 'g'), regexp_replace(columns, 'k', 'u.k', 'g')));
	PERFORM streamiter.register_statement('range ' || name,
		format('UPDATE %I SET n = bump(n, bad) WHERE (%s) >= (%s) AND (%s) <= (%s)', name, columns, lower, columns, upper),
		per => 'range');
END $$;

SELECT create_keyed('by_integer', '{integer}', '{i - 300}', 700);
SELECT create_keyed('by_bigint', '{bigint}', ARRAY['(i - 100) * 90000000000000000'], 200);
SELECT create_keyed('by_text', '{text}', '{md5(i::text)}', 500);
SELECT create_keyed('by_collation', ARRAY['text COLLATE "C"'], ARRAY['chr(32 + i % 90) || i'], 300);
SELECT create_keyed('by_numeric', '{numeric}', ARRAY['CASE WHEN i = 1 THEN ''NaN'' WHEN i = 2 THEN ''-Infinity'' ELSE i / 7.0 END'], 300);
SELECT create_keyed('by_double', '{double precision}', ARRAY['CASE WHEN i = 1 THEN ''NaN'' WHEN i = 2 THEN ''-Infinity'' ELSE sqrt(i) - 9 END'], 300);
SELECT create_keyed('by_uuid', '{uuid}', '{md5(i::text)::uuid}', 500);
SELECT create_keyed('by_time', '{timestamptz}', ARRAY['CASE WHEN i = 1 THEN ''infinity'' WHEN i = 2 THEN ''-infinity'' ELSE ''2024-03-31''::timestamptz + i * interval ''13 min 0.000007 s'' END'], 300);
SELECT create_keyed('by_date', '{date}', ARRAY['date ''2024-02-28'' + i'], 100);
SELECT create_keyed('by_enum', '{mood}', ARRAY['(enum_range(NULL::mood))[1 + i % 3]'], 3);
SELECT create_keyed('by_bytea', '{bytea}', ARRAY['decode(md5(i::text), ''hex'')'], 300);
SELECT create_keyed('by_pair', '{smallint,text}', ARRAY['i % 9', 'i::text'], 400);
SELECT create_keyed('by_three', '{mood,date,bigint}',
	ARRAY['(enum_range(NULL::mood))[1 + i % 3]', 'date ''2024-02-28'' + i % 5', '-i'], 300);
SELECT create_keyed('by_nothing', '{integer}', '{i}', 0);
SELECT create_keyed('by_one', '{integer}', '{i}', 1);

CREATE VIEW view_by_integer AS SELECT * FROM by_integer WHERE k1 % 3 <> 0;
