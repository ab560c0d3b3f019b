//! Chats, what is remembered of people, and their clicks: in what order they were heard of, in how large transactions, through
//! merges and back, on both databases.

use std::sync::Arc;

use jiff::Timestamp;
use leadfold::clock::Clock;
use leadfold::id::{EventId, LeadId, PersonId, SyncId};
use leadfold::lead::{
    Chat, ChatNews, ChatState, ChatStatus, Fields, Identifier, IdentifierKind, Lead, Proof,
};
use leadfold::plan::Reason;
use leadfold::rules::IdentityRules;
use leadfold::store::corrections::{Asked, By};
use leadfold::store::facts::KnownChat;
use leadfold::store::prepare::{EventOutcome, Prepared, PreparedDelivery, PreparedEvent};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::{Value, json};

use crate::many::on_both;
use crate::store::{self, Story, run};

const BOT: &str = "telegram:shop";

/// One event: who it is from, what is to be remembered, and what it says of a chat.
#[derive(Clone, Default)]
struct Said {
    identifiers: Vec<Identifier>,
    fields: Fields,
    news: Option<ChatNews>,
    filtered: bool,
}

fn said() -> Said {
    Said::default()
}

fn chat(scope: &str, id: &str) -> Chat {
    let (channel, bot) = scope.split_once(':').unwrap();
    Chat {
        channel: channel.to_owned(),
        bot: bot.to_owned(),
        bot_name: Some("Shop".to_owned()),
        id: id.to_owned(),
        link: Some(format!("https://chat/{id}")),
    }
}

impl Said {
    fn with(mut self, kind: IdentifierKind, scope: &str, value: &str) -> Self {
        let (scope, keys) = (scope.to_owned(), vec![value.to_owned()]);
        self.identifiers.push(Identifier { kind, scope, keys, proof: Proof::Proven });
        self
    }

    fn phone(self, value: &str) -> Self {
        self.with(IdentifierKind::Phone, "", value)
    }

    fn click(self, value: &str) -> Self {
        self.with(IdentifierKind::Click, "", value)
    }

    fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// It came from this chat.
    fn from(self, scope: &str, id: &str) -> Self {
        let mut said = self.with(IdentifierKind::Chat, scope, id);
        said.news = Some(ChatNews {
            scope: scope.to_owned(),
            chat: Some(chat(scope, id)),
            about: Vec::new(),
            state: None,
            status: None,
        });
        said
    }

    /// No branch wants it.
    fn filtered(mut self) -> Self {
        self.filtered = true;
        self
    }

    fn state(mut self, state: ChatState) -> Self {
        self.news.as_mut().unwrap().state = Some(state);
        self
    }

    fn wrote(self) -> Self {
        self.state(ChatState::Active)
    }

    fn blocks(self) -> Self {
        self.state(ChatState::Blocked { why: "stop".to_owned() })
    }

    /// A status of a message to whoever this is.
    fn status(mut self, status: &str, description: Option<&str>, at: Option<Timestamp>) -> Self {
        let status =
            ChatStatus { status: status.to_owned(), description: description.map(str::to_owned), at };
        let none =
            ChatNews { scope: BOT.to_owned(), chat: None, about: Vec::new(), state: None, status: None };
        self.news.get_or_insert(none).status = Some(status);
        self
    }

    fn outcome(&self, story: &Story) -> EventOutcome {
        if self.filtered {
            return EventOutcome::Filtered(Reason::new("no_branch", "nobody wants it"));
        }
        let found = self.news.as_ref().and_then(|news| Some((news.scope.clone(), news.chat.clone()?)));
        let (chat_scope, chat) = found.unzip();
        let lead = Lead {
            to: Vec::new(),
            identifiers: self.identifiers.clone(),
            chat,
            chat_scope,
            person_fields: self.fields.clone(),
            ..store::lead(&store::said("crm", &[]))
        };
        let syncs = vec![(SyncId(story.clock.new_id()), "crm".to_owned())];
        EventOutcome::Lead { lead: Box::new(lead), branch: 0, syncs, to_come: None }
    }
}

/// Prepares these in one transaction; each was received at its second. Returns their leads.
async fn hear(story: &Story, all: &[(i64, Said)]) -> Vec<LeadId> {
    let (mut prepared, mut leads) = (Vec::new(), Vec::new());
    for (second, said) in all {
        let arrival = story.arrival("shop", None);
        let lead_id = LeadId(story.clock.new_id());
        let event = PreparedEvent {
            id: EventId(story.clock.new_id()),
            lead_id,
            fresh_person: PersonId(story.clock.new_id()),
            source: "shop".to_owned(),
            key: lead_id.to_string(),
            key_until: story.now(),
            received_at: at(*second),
            version: "v1".to_owned(),
            chat: said.news.clone(),
            holder: None,
            outcome: said.outcome(story),
        };
        leads.push(lead_id);
        prepared.push(PreparedDelivery { id: arrival.delivery.id, result: Prepared::Events(vec![event]) });
        story.store.inbox().keep(arrival).await.unwrap();
    }
    let clock = Arc::clone(&story.clock) as Arc<dyn Clock>;
    story.store.prepare(prepared, IdentityRules::default(), clock).await.unwrap();
    leads
}

async fn whose(story: &Story, second: i64, said: Said) -> PersonId {
    let leads = hear(story, &[(second, said)]).await;
    story.person(leads[0]).await
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

async fn chats(story: &Story, person: PersonId) -> Vec<KnownChat> {
    story.store.person_facts(person).await.unwrap().chats
}

/// State and since when, in seconds.
async fn state(story: &Story, person: PersonId) -> (bool, i64) {
    let chats = chats(story, person).await;
    assert_eq!(chats.len(), 1);
    (chats[0].state == ChatState::Active, chats[0].since.as_second() - at(0).as_second())
}

fn by(story: &Story) -> By {
    let clock = Arc::clone(&story.clock) as Arc<dyn Clock>;
    By { author: None, note: None, only_look: false, clock }
}

#[tokio::test]
async fn a_chat_is_what_was_said_of_it_last_and_not_what_was_heard_last() {
    on_both(async |story| {
        let person = whose(story, 10, said().phone("+1").from(BOT, "7")).await;
        assert_eq!(state(story, person).await, (true, 10));
        hear(story, &[(30, said().from(BOT, "7").blocks().filtered())]).await;
        assert_eq!(state(story, person).await, (false, 30));
        // Received before, and prepared only now: the source was paused.
        hear(story, &[(20, said().from(BOT, "7")), (29, said().from(BOT, "7").wrote())]).await;
        assert_eq!(state(story, person).await, (false, 30));
        assert_eq!(chats(story, person).await[0].seen, at(30));
        hear(story, &[(35, said().from(BOT, "7"))]).await;
        assert_eq!(state(story, person).await, (false, 30), "the bot may have done that by itself");
        assert_eq!(chats(story, person).await[0].seen, at(35));
        hear(story, &[(40, said().from(BOT, "7").wrote())]).await;
        assert_eq!(state(story, person).await, (true, 40));
        hear(story, &[(50, said().from(BOT, "7").wrote()), (45, said().from(BOT, "7").blocks())]).await;
        assert_eq!(state(story, person).await, (true, 40), "blocked in between, and long over");
        // In one moment what comes later in the request counts.
        hear(story, &[(60, said().from(BOT, "7")), (60, said().from(BOT, "7").blocks())]).await;
        assert_eq!(state(story, person).await, (false, 60));
    })
    .await;
}

#[tokio::test]
async fn what_a_bot_answers_blocks_unless_they_have_come_back_since() {
    on_both(async |story| {
        let person = whose(story, 10, said().phone("+1").from(BOT, "7").wrote()).await;
        let mark = async |second| {
            let why = "403: Forbidden: bot was blocked by the user";
            story.store.mark_chat_blocked(BOT, "7", why, at(second)).await.unwrap();
        };
        mark(9).await;
        assert_eq!(state(story, person).await, (true, 10));
        mark(20).await;
        assert_eq!(state(story, person).await, (false, 20));
        let known = &chats(story, person).await[0];
        assert_eq!(
            (known.bot_name.as_deref(), known.seen),
            (Some("Shop"), at(10)),
            "nothing else is changed"
        );
        assert!(matches!(&known.state, ChatState::Blocked { why } if why.starts_with("403")));
        hear(story, &[(21, said().from(BOT, "7").status("outgoing_message", None, None))]).await;
        hear(story, &[(22, said().from(BOT, "7"))]).await;
        assert_eq!(state(story, person).await, (false, 20), "the bot speaks into the void");
        hear(story, &[(23, said().from(BOT, "7").wrote())]).await;
        assert_eq!(state(story, person).await, (true, 23));
        // A chat of which nothing was heard yet.
        story.store.mark_chat_blocked("viber:v", "9", "gone", at(1)).await.unwrap();
        let sql = "SELECT COUNT(*) FROM chats WHERE scope = 'viber:v' AND channel = 'viber' AND bot = 'v'";
        assert_eq!(run(&story.url, sql).await, [1]);
    })
    .await;
}

#[tokio::test]
async fn a_status_is_of_the_only_chat_that_works() {
    on_both(async |story| {
        let person = whose(story, 10, said().phone("+1").from(BOT, "7")).await;
        let forbidden = |moment| said().phone("+1").status("UNDELIVERED", Some("403: Forbidden"), moment);
        hear(story, &[(20, said().phone("+1").status("DELIVERED", None, None))]).await;
        let known = chats(story, person).await.remove(0);
        assert_eq!((known.status.unwrap().status.as_str(), known.seen), ("DELIVERED", at(10)));
        // Held back for long: meanwhile they have come back.
        hear(story, &[(30, said().from(BOT, "7").wrote())]).await;
        hear(story, &[(40, forbidden(Some(at(25))))]).await;
        assert_eq!(state(story, person).await, (true, 10));
        assert_eq!(
            chats(story, person).await[0].status.as_ref().unwrap().at,
            at(25),
            "it is the last status"
        );
        hear(story, &[(41, said().phone("+1").status("SENT", None, Some(at(24))))]).await;
        assert_eq!(chats(story, person).await[0].status.as_ref().unwrap().status, "UNDELIVERED");
        hear(story, &[(50, forbidden(None))]).await;
        assert_eq!(state(story, person).await, (false, 50));
        hear(story, &[(60, said().phone("+1").status("DELIVERED", None, None))]).await;
        assert_eq!(state(story, person).await, (false, 50), "no status brings a chat back");

        // A second chat: which of two that work is meant, nobody knows; of one, everybody does.
        hear(story, &[(70, said().phone("+1").from(BOT, "8"))]).await;
        hear(story, &[(80, forbidden(None))]).await;
        let blocked = async || {
            let chats = chats(story, person).await;
            chats.iter().filter(|chat| chat.state != ChatState::Active).count()
        };
        assert_eq!(blocked().await, 2, "the only one that worked");
        hear(story, &[(90, said().from(BOT, "7").wrote()), (91, said().from(BOT, "8").wrote())]).await;
        hear(story, &[(95, forbidden(None))]).await;
        assert_eq!(blocked().await, 0);
        // A stranger's, and one of somebody without a chat there.
        hear(story, &[(96, said().phone("+2").status("FAILED", Some("Forbidden"), None))]).await;
        assert_eq!(run(&story.url, "SELECT COUNT(*) FROM chats").await, [2]);
    })
    .await;
}

#[tokio::test]
async fn a_status_that_no_branch_wants_is_of_the_chat_of_whom_it_names() {
    on_both(async |story| {
        let person = whose(story, 10, said().phone("+1").from(BOT, "7").wrote()).await;
        let named = |said: Said, phones: &[&str]| {
            let mut said = said.filtered();
            let phone = |value: &&str| Identifier {
                kind: IdentifierKind::Phone,
                scope: String::new(),
                keys: vec![(*value).to_owned()],
                proof: Proof::Claimed,
            };
            said.news.as_mut().unwrap().about = phones.iter().map(phone).collect();
            said
        };
        let forbidden = || said().status("UNDELIVERED", Some("403: Forbidden"), None);
        let delivered = || said().status("DELIVERED", None, None);
        let people = async || run(&story.url, "SELECT COUNT(*) FROM persons").await;
        hear(story, &[(20, named(delivered(), &["+1"]))]).await;
        let known = chats(story, person).await.remove(0);
        assert_eq!((known.status.unwrap().status.as_str(), known.seen), ("DELIVERED", at(10)));
        hear(story, &[(30, named(forbidden(), &["+9"])), (31, named(forbidden(), &[]))]).await;
        assert_eq!(state(story, person).await, (true, 10), "nobody is named whom we know");
        // Of two people nobody knows which is meant.
        whose(story, 11, said().phone("+2").from("viber:shop", "8")).await;
        hear(story, &[(32, named(forbidden(), &["+1", "+2"]))]).await;
        assert_eq!((state(story, person).await, people().await), ((true, 10), vec![2]));
        // Somebody whom the same transaction makes known, and whose chat it names together with one that it does not.
        let late = said().phone("+3").from(BOT, "9").wrote();
        hear(
            story,
            &[(40, late), (41, named(forbidden(), &["+3", "+9"])), (42, named(forbidden(), &["+1"]))],
        )
        .await;
        assert_eq!((state(story, person).await, people().await), ((false, 42), vec![3]));
        let sql = "SELECT COUNT(*) FROM chats WHERE state = 'blocked' AND scope = 'telegram:shop'";
        assert_eq!(run(&story.url, sql).await, [2]);
        assert_eq!(run(&story.url, "SELECT COUNT(*) FROM identifiers WHERE value = '+9'").await, [0]);
    })
    .await;
}

#[tokio::test]
async fn fields_and_clicks_follow_who_became_whom_and_go_back() {
    on_both(async |story| {
        let olena = whose(
            story,
            10,
            said().phone("+1").from(BOT, "1").click("c1").field("sum", json!(5)).field("city", json!("Lviv")),
        )
        .await;
        let other =
            whose(story, 20, said().phone("+2").from(BOT, "2").click("c2").field("sum", json!(7.5))).await;
        let facts = async |person| {
            let facts = story.store.person_facts(person).await.unwrap();
            let fields: Vec<String> =
                facts.fields.iter().map(|(name, field)| format!("{name}={}", field.value)).collect();
            let clicks: Vec<&str> = facts.clicks.iter().map(|click| click.click.as_str()).collect();
            let chats: Vec<&str> = facts.chats.iter().map(|chat| chat.value.as_str()).collect();
            format!("{} | {} | {}", fields.join(" "), clicks.join(" "), chats.join(" "))
        };
        assert_eq!(facts(olena).await, "city=\"Lviv\" sum=5 | c1 | 1");
        assert_eq!(facts(other).await, "sum=7.5 | c2 | 2");
        let made = story.store.make_one(olena, other, Asked::Merge, by(story)).await.unwrap().unwrap();
        let one = "city=\"Lviv\" sum=7.5 | c2 c1 | 2 1";
        assert_eq!((facts(made.into).await.as_str(), facts(made.from).await.as_str()), (one, one));
        // Somebody else's click stays whose it is, and what is older changes nothing.
        hear(story, &[(30, said().phone("+3").click("c1").click("c3").field("sum", json!(1)))]).await;
        hear(story, &[(15, said().phone("+1").field("sum", json!(6)))]).await;
        assert_eq!(facts(made.into).await, one);
        for (click, whose) in [("c1", Some(made.into)), ("c2", Some(made.into)), ("none", None)] {
            assert_eq!(story.store.person_of_click(click).await.unwrap(), whose, "{click}");
        }
        // A third takes them in, and what is said of them then is theirs.
        let third = story.store.person_of_click("c3").await.unwrap().unwrap();
        let again = story.store.make_one(made.into, third, Asked::Merge, by(story)).await.unwrap().unwrap();
        hear(story, &[(40, said().phone("+1").field("city", json!("Odesa")))]).await;
        assert_eq!(facts(made.from).await, "city=\"Odesa\" sum=1 | c3 c2 c1 | 2 1");
        assert_eq!(story.store.person_of_click("c1").await.unwrap(), Some(again.into));
        for merge in [again.merge, made.merge] {
            story.store.take_apart(merge, by(story)).await.unwrap().unwrap();
        }
        assert_eq!(facts(other).await, "sum=7.5 | c2 | 2");
        assert_eq!(facts(third).await, "sum=1 | c3 | ");
        assert_eq!(facts(olena).await, "city=\"Odesa\" sum=6 | c1 | 1", "what came since stays");
        assert_eq!(story.store.person_of_click("c2").await.unwrap(), Some(other));
        assert_eq!(facts(PersonId(story.clock.new_id())).await, " |  | ", "nobody");
    })
    .await;
}

#[tokio::test]
async fn chats_from_before_there_were_rows_of_them_are_known_all_the_same() {
    on_both(async |story| {
        let person =
            whose(story, 10, said().phone("+1").with(IdentifierKind::Chat, "sendpulse:b1", "7")).await;
        hear(story, &[(20, said().phone("+1").with(IdentifierKind::Chat, "telegram", "42"))]).await;
        let chats = chats(story, person).await;
        assert_eq!(chats.len(), 1, "a user is no chat: {chats:?}");
        assert_eq!((chats[0].scope.as_str(), chats[0].bot.as_str()), ("sendpulse:b1", "b1"));
        assert_eq!((&chats[0].state, chats[0].seen), (&ChatState::Active, at(10)));
    })
    .await;
}

#[tokio::test]
async fn chats_of_nobody_go_when_they_are_old_and_all_others_stay() {
    on_both(async |story| {
        for id in 0..3 {
            hear(story, &[(10, said().from(BOT, &format!("lost-{id}")).blocks().filtered())]).await;
        }
        hear(story, &[(60, said().from(BOT, "young").blocks().filtered())]).await;
        let person = whose(story, 10, said().phone("+1").from(BOT, "hers")).await;
        assert_eq!(story.store.remove_unowned_chats(at(10)).await.unwrap(), 0);
        assert_eq!(story.store.remove_unowned_chats(at(50)).await.unwrap(), 3);
        assert_eq!(story.store.remove_unowned_chats(at(50)).await.unwrap(), 0);
        assert_eq!(run(&story.url, "SELECT COUNT(*) FROM chats").await, [2]);
        // Blocked before anybody knew whose it was.
        let late = whose(story, 50, said().phone("+2").from(BOT, "young")).await;
        assert_eq!((state(story, late).await, state(story, person).await), ((false, 60), (true, 10)));
    })
    .await;
}

/// What is said of one of three chats.
fn words() -> impl Strategy<Value = Vec<(i64, u8, u8)>> {
    proptest::collection::vec((0..20_i64, 0..3_u8, 0..6_u8), 1..25)
}

fn word(scope: &str, which: u8, what: u8) -> Said {
    let said = said().from(scope, &format!("{scope}-{which}"));
    match what {
        0 => said,
        1 => said.blocks(),
        2 => said.blocks().filtered(),
        3 => {
            let mut bare = said.state(ChatState::Active).filtered();
            let chat = bare.news.as_mut().unwrap().chat.as_mut().unwrap();
            (chat.bot_name, chat.link) = (None, None);
            bare
        }
        4 => said.status("DELIVERED", None, None),
        _ => said.status("FAILED", Some("Forbidden"), Some(at(9))),
    }
}

/// Whatever is said in whatever order: how many transactions it takes changes nothing.
#[tokio::test]
async fn one_by_one_and_all_at_once_come_to_the_same() {
    on_both(async |story| {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for case in 0..25 {
            let words = words().new_tree(&mut runner).unwrap().current();
            let (one, all) = (format!("telegram:one{case}"), format!("telegram:all{case}"));
            for (second, which, what) in &words {
                hear(story, &[(*second, word(&one, *which, *what))]).await;
            }
            let together: Vec<_> =
                words.iter().map(|(second, which, what)| (*second, word(&all, *which, *what))).collect();
            hear(story, &together).await;
            let columns = "state, COALESCE(why, ''), since, told_at, seen, COALESCE(status, ''), COALESCE(status_at, 0), \
                 COALESCE(bot_name, '')";
            let of = |scope: &str| {
                format!(
                    "SELECT REPLACE(value, '{scope}', ''), REPLACE(COALESCE(link, ''), '{scope}', ''), {columns} \
                     FROM chats WHERE scope = '{scope}'"
                )
            };
            let differ = format!("SELECT COUNT(*) FROM ({} EXCEPT {}) AS differ", of(&one), of(&all));
            let count = format!("SELECT COUNT(*) FROM chats WHERE scope = '{one}'");
            assert_eq!(run(&story.url, &differ).await, [0], "case {case}: {words:?}");
            assert!(run(&story.url, &count).await[0] > 0);
        }
    })
    .await;
}
