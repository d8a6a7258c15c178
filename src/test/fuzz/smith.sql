-- For the database in which sqlsmith looks for what to put into queries, and
-- which serves nothing else: no function shall be found there whose result may
-- differ when it is called again.  sqlsmith leaves out what returns "internal".

UPDATE pg_catalog.pg_proc SET prorettype = 'internal'::regtype
WHERE provolatile = 'v' AND proname NOT LIKE '%\_in' AND pronamespace = 'pg_catalog'::regnamespace
	OR provolatile = 's' AND (proname ~ '^(pg|txid|current|now|has|inet|lo|get|ts_|array_to_j|row_to_j|to_json)'
		OR proname ~ '(stat|timestamp|_to_xml|_to_xmlschema|_description|crosstab|dblink|session|row_security)'
		OR proname IN ('age', 'timeofday', 'user', 'getpgusername'))
	OR proname ~ '^(generate_series|repeat|lpad|rpad|pg_sleep.*)$';
