//! What a registry has beside many leads: all that a page can show, in realistic shares, made inside the database.

use std::error::Error;

use serde_json::json;

use crate::generate::{Registry, SPAN, Texts};

/// How often the platform sent one lead of the registry again: the one with this number.
const SENT_AGAIN: u64 = 500;
pub(crate) const SENT_AGAIN_LEAD: u64 = 220;
/// Whose leads the first 715 are: 500 of them are mapped.
pub(crate) const GREAT_PERSON: u64 = 11;
/// Rows of a page, and some more.
const FULL_PAGE: u64 = 60;
/// The number of a lead in the order of all, counted from 0.
const N: &str = "(sequence - 1)";

/// Adds it to a registry that was just filled, with leads mapped by versions that had these files.
pub(crate) async fn furnish(
    registry: &Registry,
    texts: &Texts,
    files: &[(&str, &str)],
) -> Result<(), Box<dyn Error>> {
    let mut statements = people(texts);
    statements.extend(leads(texts));
    statements.extend(requests(texts));
    statements.extend(around(texts, files)?);
    registry.run(&statements).await
}

/// One of so many, or as many more as a page has: a page that is full is held against one that is full.
fn share(of: u64, rows: u64) -> u64 {
    of.min((rows / FULL_PAGE).max(1))
}

/// Inserts a row for each so-many-th number below another.
fn each(first: u64, step: u64, below: u64, into: &str, select: &str) -> String {
    format!(
        "INSERT INTO {into} WITH RECURSIVE series (n) AS (SELECT CAST({first} AS BIGINT) UNION ALL \
         SELECT n + {step} FROM series WHERE n + {step} < {below}) SELECT {select} FROM series"
    )
}

/// Merges, pairs that may be one, what is remembered of people and where they can be written to.
fn people(t: &Texts) -> Vec<String> {
    let (person, next, at) = (t.id('p', "n"), t.id('p', "n + 1"), t.at("n"));
    let phone = format!("'+999' || {}", t.decimal(&Texts::scattered("n"), 9));
    let humans = t.humans;
    let why =
        r#"'{"code":"nothing_differs","text":"Their names agree, and nothing that both have differs."}'"#;
    let mut statements = vec![
        each(
            3,
            200,
            humans,
            "merges (id, from_person, into_person, reason, moved, at)",
            &format!("{}, {person}, {next}, {why}, '{{}}', {at}", t.id('m', "n")),
        ),
        "UPDATE persons SET merged_into = (SELECT into_person FROM merges WHERE from_person = persons.id) \
         WHERE id IN (SELECT from_person FROM merges)"
            .to_owned(),
    ];
    for table in ["leads", "syncs", "identifiers", "links"] {
        statements.push(format!(
            "UPDATE {table} SET person = (SELECT into_person FROM merges WHERE from_person = {table}.person) \
             WHERE person IN (SELECT from_person FROM merges)"
        ));
    }
    let great = t.id('p', &GREAT_PERSON.to_string());
    for table in ["leads", "syncs"] {
        statements.push(format!(
            "UPDATE {table} SET person = {great} WHERE person IS NOT NULL AND sequence <= 715"
        ));
    }
    let pair = format!("{person}, {next}, {}, {at}", t.id('l', "n"));
    statements.extend([
        each(5, share(100, humans), humans, "possible_duplicates (one, other, lead, at)", &pair),
        each(6, 1_000, humans, "apart (one, other, since)", &format!("{person}, {next}, {at}")),
        each(
            3,
            400,
            humans,
            "corrections (id, kind, one, other, merge, author, at)",
            &format!("{}, 'merge', {person}, {next}, {}, 'olha', {at}", t.id('o', "n"), t.id('m', "n")),
        ),
        each(
            7,
            100,
            humans,
            "holders (kind, scope, value, person, since)",
            &format!("'phone', '', {phone}, {next}, {at}"),
        ),
        each(0, 3, humans, "person_fields (person, name, value, at, sequence)", &format!(
            "{person}, 'city', '\"Kyiv\"', {at}, n + 1"
        )),
        each(0, 10, humans, "clicks (click, person, at, fresh)", &format!(
            "'click-' || {}, {person}, {at}, 0",
            t.hex("n", 12)
        )),
        "INSERT INTO chats (scope, value, channel, bot, bot_name, link, state, why, since, told_at, seen) \
         SELECT scope, value, 'telegram', 'bot', 'Polynia Shop', NULL, CASE WHEN first_seen % 50 = 0 THEN 'blocked' \
           ELSE 'active' END, CASE WHEN first_seen % 50 = 0 THEN 'the bot was blocked by the user' END, first_seen, \
           first_seen, seen FROM identifiers WHERE kind = 'chat'"
            .to_owned(),
    ]);
    statements
}

/// Where leads came from, what they say, and where they stand.
fn leads(t: &Texts) -> Vec<String> {
    let lead = json!({
        "source": "sendpulse", "branch": "Kyiv", "to": ["crm"],
        "contact": {
            "name": "<name>", "raw_phones": [], "fields": { "utm_source": "tg_ads", "telegram_chat": "https://t.me/<word>" },
            "phones": [{ "e164": "<phone>", "extension": null, "region": "UA", "kind": "mobile",
                "confidence": "exact", "match_keys": ["<phone>"], "raw": "<phone>" }],
            "emails": [{ "address": "<word>@example.com", "match_key": "<word>@example.com", "raw": "<word>@example.com" }],
        },
        "deal": { "title": "Замовлення консультації", "pipeline": null, "stage": null, "fields": { "city": "Київ" } },
        "task": null, "note": "Доброго дня! Чи є в наявності ця модель?", "owners": "kyiv-sales", "identifiers": [],
        "chat": { "channel": "telegram", "bot": "bot", "bot_name": "Polynia Shop", "id": "<word>", "link": null },
        "flaws": [],
    });
    let human = format!("({N} % {})", t.humans);
    let phone = format!("'+999' || {}", t.decimal(&Texts::scattered(&human), 9));
    let word = t.word(N);
    let lead = format!("'{lead}'")
        .replace("<name>", &format!("Olena ' || {word} || '"))
        .replace("<phone>", &format!("' || {phone} || '"))
        .replace("<word>", &format!("' || {word} || '"));
    let decision = |rule: &str, findings: &str| {
        format!("'{{\"rule\":\"{rule}\",\"version\":1,\"findings\":[{findings}]}}'")
    };
    let known = decision(
        "claimed_phone",
        "{\"kind\":\"phone\",\"shown\":\"+999•••\",\"person\":\"' || person || '\",\"outcome\":\"decided\"}",
    );
    let why = |code: &str| {
        format!(
            "'{{\"code\":\"' || {code} || '\",\"text\":\"Somebody has to look at lead ' || sequence || '.\"}}'"
        )
    };
    // Among those that became no lead, which are three of ten.
    let unmapped = 10 * share(10, t.rows / 600);
    let at_source = why(&format!(
        "CASE {N} / {unmapped} % 10 WHEN 0 THEN 'mapping_unreadable' WHEN 1 THEN 'call_error' ELSE 'mapping_error' END"
    ));
    // Of one cause alone there is a full page.
    let (attention, held, ready) = (share(200, t.rows / 2), share(100, t.rows), share(500, t.rows));
    let at_crm = why(&format!(
        "CASE {N} / {attention} % 10 WHEN 0 THEN 'search_rejected' WHEN 1 THEN 'crm_keeps_failing' \
         WHEN 2 THEN 'never_confirmed' WHEN 3 THEN 'blind_step_unknown' ELSE 'crm_rejected' END"
    ));
    let (skipped, observed) = (why("'skipped'"), why("'observed'"));
    let sync = t.id('s', N);
    vec![
        format!(
            "UPDATE leads SET source = CASE WHEN {N} % 1000 = 9 THEN 'viber' WHEN {N} % 20 = 4 THEN 'site' ELSE source END, \
             version = {}, lead = CASE WHEN state = 'mapped' THEN {lead} END, \
             decision = CASE WHEN state = 'mapped' AND {N} >= {} THEN {known} WHEN state = 'mapped' THEN {} END, \
             why = CASE WHEN {N} % {unmapped} = 7 THEN {at_source} ELSE why END, \
             state = CASE WHEN {N} % {unmapped} = 7 THEN 'needs-attention' ELSE state END",
            t.hex(&format!("{N} * {} / {}", versions(t), t.rows), 64),
            t.humans,
            decision("nobody_known", ""),
        ),
        format!(
            "UPDATE syncs SET destination = CASE WHEN {N} % {held} = 2 THEN 'trial' ELSE destination END, \
             state = CASE WHEN {N} % {attention} = 1 THEN 'needs-attention' WHEN {N} % {held} = 2 THEN 'held' \
               WHEN {N} % {ready} = 3 THEN 'ready' WHEN {N} % 1000 = 4 THEN 'waiting' WHEN {N} % 100 = 5 THEN 'filtered' \
               ELSE state END, \
             next_at = CASE WHEN {N} % 1000 = 4 THEN next_at + 2 * {SPAN} ELSE next_at END, \
             why = CASE WHEN {N} % {attention} = 1 THEN {at_crm} WHEN {N} % {held} = 2 THEN {observed} \
               WHEN {N} % 100 = 5 THEN {skipped} END, \
             reasons = '[{{\"code\":\"new_contact\",\"text\":\"Nobody in the CRM has this phone.\"}}]', planned_at = next_at"
        ),
        r#"UPDATE steps SET kind = 'create contact', action = '{"do":"create_contact","contact":{"name":"Olena","phones":[],"emails":[],"owner":null,"fields":{}}}'"#
            .to_owned(),
        "UPDATE steps SET state = 'planned', record = NULL, sent_at = NULL, ended_at = NULL \
         WHERE sync IN (SELECT id FROM syncs WHERE state IN ('held', 'ready'))"
            .to_owned(),
        format!(
            "INSERT INTO syncs (id, lead, destination, person, sequence, priority, state, next_at, updated_at) \
             SELECT {}, id, 'bot', person, sequence, 0, 'synced', received_at, received_at FROM leads \
             WHERE {N} % 10 = 6 AND state = 'mapped'",
            t.id('b', N)
        ),
        format!(
            "INSERT INTO audits (step, sync, destination, action, kind, due_at, done_at, result) \
             SELECT {}, {sync}, 'crm', NULL, 'create contact', received_at, received_at, 'once' FROM leads \
             WHERE {N} % 1000 = 0 AND state = 'mapped'",
            t.id('t', N)
        ),
        "UPDATE deliveries SET source = (SELECT leads.source FROM events JOIN leads ON leads.event = events.id \
           WHERE events.delivery = deliveries.id) WHERE id IN (SELECT events.delivery FROM leads JOIN events \
           ON events.id = leads.event WHERE leads.source <> 'sendpulse')"
            .to_owned(),
    ]
}

/// Requests that became no lead, and those that were sent again.
fn requests(t: &Texts) -> Vec<String> {
    let columns = "deliveries (id, source, method, headers, body, received_at, state, why)";
    let body = if t.kind == crate::generate::Kind::Sqlite {
        "CAST('{\"a\":\"a body of a few bytes\"}' AS BLOB)"
    } else {
        "convert_to('{\"a\":\"a body of a few bytes\"}', 'UTF8')"
    };
    let other = |first: u64, letter: char, source: &str, state: &str, why: &str| {
        let select = format!(
            "{}, '{source}', 'POST', '[]', {body}, {}, '{state}', '{why}'",
            t.id(letter, "n"),
            t.at("n")
        );
        each(first, share(500, t.rows), t.rows, columns, &select)
    };
    let mut statements = vec![
        other(11, 'u', "sendpulse", "unreadable", "expected value at line 1 column 1"),
        // Of a source that is no more: whatever waits for a mapping that works is taken up at the start.
        other(12, 'w', "gone", "waiting", "the workspace has no source gone"),
        other(13, 'x', "sendpulse", "refused", "the token was wrong"),
        other(213, 'y', "site", "refused", "the token was wrong"),
    ];
    let often = t.id('e', &SENT_AGAIN_LEAD.to_string());
    for (letters, first, step, below, event) in
        [(['r', 'q'], 10, 50, t.rows, t.id('e', "n")), (['v', 'z'], 0, 1, SENT_AGAIN, often)]
    {
        let [delivery, again] = letters.map(|letter| t.id(letter, "n"));
        statements.extend([
            each(
                first,
                step,
                below,
                columns,
                &format!(
                    "{delivery}, 'sendpulse', 'POST', '[]', {body}, {} + 60000, 'prepared', NULL",
                    t.at("n")
                ),
            ),
            each(
                first,
                step,
                below,
                "events (id, delivery, position, source, key, redelivery_of)",
                &format!("{again}, {delivery}, 0, 'sendpulse', {}, {event}", t.hex("n", 32)),
            ),
        ]);
    }
    statements
}

/// Versions that there were.
fn versions(t: &Texts) -> u64 {
    20 + t.rows / 10_000
}

/// Versions, the audit log, and the counters of the hours.
fn around(t: &Texts, files: &[(&str, &str)]) -> Result<Vec<String>, Box<dyn Error>> {
    let mut statements = Vec::new();
    for version in 0..versions(t) {
        let files: serde_json::Map<String, serde_json::Value> = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), format!("{text}\n# edit {version}\n").into()))
            .collect();
        let files = serde_json::to_string(&files)?.replace('\'', "''");
        let at = t.at(&format!("{version} * {} / {}", t.rows, versions(t)));
        statements.push(format!(
            "INSERT INTO versions (hash, files, created_at, used_at) VALUES ({}, '{files}', {at}, {at})",
            t.hex(&version.to_string(), 64)
        ));
    }
    statements.push(each(
        0,
        20,
        t.rows,
        "actions (id, at, who, role, through, operation, asked, outcome)",
        &format!(
            "{}, {}, CASE WHEN n % 60 = 0 THEN 'petro' ELSE 'olha' END, 'operator', 'console', '/api/replay', \
             '{{\"how\":\"resume\"}}', 'done'",
            t.id('a', "n"),
            t.at("n")
        ),
    ));
    let hour = |column: &str| format!("{column} - {column} % 3600000");
    let count = |kind: &str, at: &str, subject: &str, name: &str, of: &str| {
        format!(
            "INSERT INTO hourly (kind, hour, subject, name, count) SELECT '{kind}', {}, {subject}, {name}, COUNT(*) \
             FROM {of} GROUP BY 2, 3, 4",
            hour(at)
        )
    };
    let synced = "syncs WHERE state = 'synced'";
    statements.extend([
        count("lead", "received_at", "source", "state", "leads"),
        count("lead", "received_at", "source", "'redelivery'", &format!("leads WHERE {N} % 50 = 10")),
        count(
            "sync",
            "updated_at",
            "destination",
            "state",
            "syncs WHERE state IN ('synced', 'filtered', 'needs-attention')",
        ),
        count(
            "record",
            "updated_at",
            "destination",
            &format!("CASE WHEN {N} % 3 = 0 THEN 'contact made' ELSE 'contact found' END"),
            synced,
        ),
        count(
            "took",
            "updated_at",
            "destination",
            &format!(
                "CASE {N} % 4 WHEN 0 THEN '1000' WHEN 1 THEN '2000' WHEN 2 THEN '3000' ELSE '60000' END"
            ),
            synced,
        ),
        busy_month(t),
    ]);
    Ok(statements)
}

/// What is counted is bounded by hours, not by leads: each of both registries has a month in which everything that was ever
/// counted happened in every hour.
fn busy_month(t: &Texts) -> String {
    const HOUR: u64 = 60 * 60 * 1000;
    let now = (t.start + SPAN) / HOUR;
    let first = now - 31 * 24;
    format!(
        "INSERT INTO hourly (kind, hour, subject, name, count) WITH RECURSIVE hours (hour) AS ( \
           SELECT CAST({first} AS BIGINT) UNION ALL SELECT hour + 1 FROM hours WHERE hour < {now}) \
         SELECT seen.kind, hours.hour * {HOUR}, seen.subject, seen.name, 1 FROM (SELECT DISTINCT kind, subject, name \
         FROM hourly) AS seen CROSS JOIN hours WHERE 1 = 1 ON CONFLICT DO NOTHING"
    )
}
