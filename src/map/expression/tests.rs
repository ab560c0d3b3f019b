//! Tables over placeholders: what they are compiled to, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::map::path::Step;

fn rewritten(source: &str) -> String {
    let out = rewriting::rewrite(&tokens(source).unwrap(), &[]).unwrap();
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn operators_are_made_to_follow_our_rules() {
    // Without names for the paths, so that the table reads well.
    let check = |source: &str, expect: &str| assert_eq!(rewritten(source), expect, "{source}");
    check("a < b", "(a ) is below_( b)");
    check("a.b <= c.d + 1 and e", "(a . b ) is at_most_( c . d + 1) and e");
    check("x or not a in [1, 2]", "x or not (a ) is within_( [ 1 , 2 ])");
    check("a not in b if c > 1 else d", "(a ) is not within_( b) if (c ) is above_( 1) else d");
    check("(a or b) in c", "(( a or b ) ) is within_( c)");
    check("a == b", "a == b");
    check("a is in b", "a is in b");
    check("a is not none", "a is not none");
    check("a == none", "a == absent_");
    check("a * b", "a|number_ * b|number_");
    check("a.b|int * -(c + 1)", "a . b | int|number_ * - ( c + 1 )|number_");
    check("a * b * c", "a|number_ * b|number_ * c|number_");
    check("a ** 2 * b / c", "a ** 2|number_ * b|number_ / c");
    check("a ~ b", "(a)|text_ ~ (b)|text_");
    check("a ~ b * c ~ d", "(a)|text_ ~ ((b|number_ * c|number_)|text_)|text_ ~ (d)|text_");
    check("a - b ~ c", "a - (b)|text_ ~ (c)|text_");
    check("'x' ~ -a < c", "(('x')|text_ ~ (- a)|text_ ) is below_( c)");
    check("f | join(a ~ b)", "f | join ( (a)|text_ ~ (b)|text_ )");
    check("x['a' ~ b]", "x [ ('a')|text_ ~ (b)|text_ ]");
}

#[test]
fn plain_paths_are_read_without_the_engine() {
    let check = |source: &str, expect: Option<(&str, &[Step])>| {
        let tokens = tokens(source).unwrap();
        let found = names::path(&tokens).filter(|(_, length)| *length == tokens.len()).map(|(path, _)| path);
        let expect = expect.map(|(root, steps)| Path { root: root.to_owned(), steps: steps.to_vec() });
        assert_eq!(found, expect, "{source}");
    };
    let key = |name: &str| Step::Key(name.to_owned());
    check("contact", Some(("contact", &[])));
    check("contact.variables.phone", Some(("contact", &[key("variables"), key("phone")])));
    check("контакт.ім_я", Some(("контакт", &[key("ім_я")])));
    check("a[\"Ваш телефон\"]['b'].c", Some(("a", &[key("Ваш телефон"), key("b"), key("c")])));
    check("tags[0]", Some(("tags", &[Step::Index(0)])));
    check("tags.0.name", Some(("tags", &[Step::Index(0), key("name")])));
    for other in
        ["true", "none", "a or b", "a | lower", "a['\\'']", "a[b]", "a.b()", "-a", "'a'", "5", "a[0:1]"]
    {
        check(other, None);
    }
}

#[test]
fn paths_inside_expressions_are_replaced_by_names() {
    let check = |source: &str, expect: &str, paths: &[&str]| {
        let tokens = tokens(source).unwrap();
        let found = names::check(&tokens).unwrap();
        let out = rewriting::rewrite(&tokens, &found.places).unwrap();
        assert_eq!(out.split_whitespace().collect::<Vec<_>>().join(" "), expect, "{source}");
        let roots: Vec<&str> = found.paths.iter().map(|path| path.root.as_str()).collect();
        assert_eq!(roots, paths, "{source}");
    };
    check("contact.a or bot.b or contact.a", "p0_ or p1_ or p0_", &["contact", "bot"]);
    check("vars.chat if service == 'x'", "p0_ if p1_ == 'x'", &["vars", "service"]);
    check("a['x y'] * b.c[0]", "p0_ |number_ * p1_ |number_", &["a", "b"]);
    check("a.b[c.d] | join(a.b, attribute='x')", "p0_ [ p1_ ] | join ( p0_ , attribute = 'x' )", &["a", "c"]);
    check("a.in < lead.if", "(p0_ ) is below_( p1_ )", &["a", "lead"]);
    check("p0_ ~ absent_ ~ none", "(p0_)|text_ ~ ((p1_)|text_)|text_ ~ (absent_)|text_", &["p0_", "absent_"]);
    check("x is divisibleby 3 and {'k': y.z}.k", "p0_ is divisibleby 3 and { 'k' : p1_ } . k", &["x", "y"]);
}

#[test]
fn every_unknown_word_of_a_placeholder_is_named() {
    let check = |source: &str, expect: &[(&str, &str)]| {
        let wrongs = match Reads::compile(source) {
            Ok(reads) => panic!("{source} compiles to {reads:?}"),
            Err(wrongs) => wrongs,
        };
        let found: Vec<(String, String)> = wrongs
            .into_iter()
            .map(|wrong| (wrong.part, format!("{} ({})", wrong.message, wrong.help.unwrap_or_default())))
            .collect();
        assert_eq!(found.len(), expect.len(), "{source}: {found:#?}");
        for ((part, message), (expect_part, expect_message)) in found.iter().zip(expect) {
            assert_eq!(part, expect_part, "{source}");
            assert!(message.contains(expect_message), "{source}: {message}");
        }
    };
    check("name | lowr | uper", &[("lowr", "did you mean `lower`?"), ("uper", "did you mean `upper`?")]);
    check("name is defind", &[("defind", "did you mean `defined`?")]);
    check("list | map('lowr')", &[("lowr", "there is no filter `lowr` (did you mean `lower`?")]);
    check("list | select('definde')", &[("definde", "did you mean `defined`?")]);
    check("range(5)", &[("range", "there are no functions")]);
    check("name.upper()", &[("upper", "methods such as `.upper()`")]);
    check("", &[("", "nothing in this placeholder")]);
    check("a +", &[("a +", "not complete or not correct")]);
    check("a b", &[("a b", "not complete or not correct")]);
    check("'abc", &[("'abc", "a quote is opened and not closed")]);
    check("1 < a < 5", &[("<", "comparisons do not chain")]);
    check("a | batch(2)", &[("batch", "there is no filter")]);
}

#[test]
fn a_json_path_ends_at_the_first_pipe_outside_brackets_and_quotes() {
    let check = |source: &str, path: &str, filters: Option<&str>| {
        assert_eq!(split_json_path(source), (path, filters), "{source}");
    };
    check("$.a.b", "$.a.b", None);
    check("$.a[*] | join(', ')", "$.a[*] ", Some(" join(', ')"));
    check("$.a[?@.b == '|' || @.c] | first", "$.a[?@.b == '|' || @.c] ", Some(" first"));
    check("$['a|b']", "$['a|b']", None);
}

#[test]
fn common_forms_are_evaluated_without_the_engine() {
    let check = |source: &str, expect: bool| match Reads::compile(source) {
        Ok(Reads::Expression(expression)) => assert_eq!(expression.direct.is_some(), expect, "{source}"),
        other => panic!("{source}: {other:?}"),
    };
    check("contact.variables.name or contact.name or contact.username", true);
    check("vars.chat if service == 'telegram'", true);
    check("vars.is_lead and (contact.city or contact['Ваше місто']) in ['Київ', 'Kyiv']", true);
    check("title not in ['bot_block', 'unsubscribe']", true);
    check("contact.utm_source | lower", true);
    check("a != 'x' if not b else (c | trim)", true);
    for other in [
        "a == 5",
        "a in b",
        "a in []",
        "a in ['x'] | list",
        "a == '\\n'",
        "a == true",
        "a == none",
        "a ~ b",
        "(a)[0]",
    ] {
        check(other, false);
    }
    for other in
        ["a | trim('x')", "a | replace('x', 'y')", "a is defined", "a < 'b'", "a if b if c", "[a]", "('x',)"]
    {
        check(other, false);
    }
}

proptest! {
    /// For numbers that are there, the rewriting changes nothing: it must not move what an operator binds to.
    #[test]
    fn the_rewriting_keeps_the_meaning_of_numbers(
        first in operand(),
        rest in prop::collection::vec((operator(), operand()), 0..7),
    ) {
        let mut source = first;
        for (operator, operand) in rest {
            source = format!("{source} {operator} {operand}");
        }
        let plain = minijinja::Environment::new();
        let expected = plain.compile_expression(&source).unwrap().eval(context());
        let expected = expected.and_then(|value| convert::from_engine(&value));
        let written = |json: Option<Json>| json.map(|json| json.to_string().to_lowercase());
        match Reads::compile(&source) {
            Ok(Reads::Expression(ours)) => match (expected, ours.evaluate(&values(&ours))) {
                (Ok(expected), Ok(got)) => prop_assert_eq!(written(expected), written(got), "{}", source),
                // A text is not repeated, and `true` is written our way: that is meant.
                (_, Err(error)) if error.to_string().contains("multiplies numbers") => {}
                (Err(_), Err(_)) => {}
                (expected, got) => prop_assert!(false, "{source}: {expected:?}, but ours {got:?}"),
            },
            Ok(_) => {}
            Err(wrongs) => prop_assert!(wrongs[0].message.contains("do not chain"), "{source}: {wrongs:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What is evaluated without the engine is what the engine makes of it.
    #[test]
    fn without_the_engine_the_same_comes_out(source in direct_form(), data in prop::collection::vec(datum(), 3)) {
        let Ok(Reads::Expression(expression)) = Reads::compile(&source) else { return Ok(()) };
        // Conditions in a row are left to the engine.
        let Some(direct) = &expression.direct else { return Ok(()) };
        let value = |path: &Path| data[["a", "b", "c"].iter().position(|name| *name == path.root).unwrap()].clone();
        let values: Vec<Option<Cow<'_, Json>>> =
            expression.paths.iter().map(|path| value(path).map(Cow::Owned)).collect();
        if let Some(got) = direct.evaluate(&values) {
            let expected = expression.evaluate_by_engine(&values).map(Option::unwrap_or_default);
            prop_assert_eq!(expected.ok(), Some(got), "{} of {:?}", source, data);
        }
    }
}

fn datum() -> impl Strategy<Value = Option<Json>> {
    let texts = prop::sample::select(vec!["", "x", "X", " x ", "ІЇ", "ß", "true", "1"]);
    prop_oneof![
        2 => Just(None),
        2 => any::<bool>().prop_map(|value| Some(Json::from(value))),
        6 => texts.prop_map(|text| Some(Json::from(text))),
        1 => prop::sample::select(vec![serde_json::json!(1), serde_json::json!(["x"]), serde_json::json!({})])
            .prop_map(Some),
    ]
}

fn direct_form() -> impl Strategy<Value = String> {
    let leaf =
        prop::sample::select(vec!["a", "b", "c", "'x'", "''", "'true'", "a|lower", "b|upper", "c|trim"]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        let operators = prop::sample::select(vec!["or", "and", "or not", "and not", "if", "==", "!="]);
        prop_oneof![
            (two, operators).prop_map(|((left, right), operator)| format!("{left} {operator} {right}")),
            inner.clone().prop_map(|inner| format!("({inner})")),
            inner.clone().prop_map(|inner| format!("({inner})|lower")),
            inner.clone().prop_map(|inner| format!("not {inner}")),
            (inner.clone(), prop::sample::select(vec!["in ['x']", "not in ['', 'ІЇ', 'true']"]))
                .prop_map(|(inner, within)| format!("{inner} {within}")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(then, condition, other)| format!("{then} if {condition} else {other}")),
        ]
    })
}

fn context() -> Value {
    Value::from_pairs([("a", 2), ("b", 3), ("c", -7)])
}

fn values(expression: &Expression) -> Vec<Option<Cow<'static, Json>>> {
    let value = |path: &Path| convert::from_engine(&context().get_attr(&path.root).unwrap()).unwrap();
    expression.paths.iter().map(|path| value(path).map(Cow::Owned)).collect()
}

fn operand() -> impl Strategy<Value = String> {
    let simple = prop::sample::select(vec!["a", "b", "c", "5", "-b", "1.5", "a|abs", "(a - c)", "[2, 3][0]"]);
    let nested = (simple.clone(), operator(), simple.clone())
        .prop_map(|(left, operator, right)| format!("({left} {operator} {right})"));
    prop_oneof![4 => simple.prop_map(str::to_owned), 1 => nested]
}

fn operator() -> impl Strategy<Value = &'static str> {
    let all = [
        "+",
        "-",
        "*",
        "//",
        "%",
        "~",
        "<",
        "<=",
        ">",
        ">=",
        "==",
        "!=",
        "and",
        "or",
        "and not",
        "if a else",
    ];
    prop::sample::select(all.to_vec())
}
