//! What `leadfold demo` brings along: the shipped mappings and sample requests, as they stood when it was built.

macro_rules! shipped {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../", $folder, "/", $name)))),+]
    };
}

/// The shipped workspace: file name and text.
pub static MAPPINGS: &[(&str, &str)] = shipped!("mappings":
    "workspace.yaml",
    "sendpulse.yaml",
    "sendpulse-livechat.yaml",
    "sendpulse-trigger.yaml",
    "telegram.yaml",
    "botmother.yaml",
    "chatterfy.yaml",
    "chatterfy-postback.yaml",
    "metabot.yaml",
    "order-shipped.yaml",
    "esputnik.yaml",
    "esputnik-tokens.yaml",
    "mindbox.yaml",
    "abandoned-cart.yaml",
);

/// Sample requests of `SendPulse`, in the order in which the demo sends them.
pub static FIXTURES: &[(&str, &str)] = shipped!("fixtures/sendpulse":
    "01_new_lead_telegram.json",
    "02_same_human_instagram.json",
    "03_same_human_viber.json",
    "04_redelivery.json",
    "05_batch_of_two.json",
    "06_new_subscriber_without_data.json",
    "07_email_without_phone.json",
    "08_invalid_phone.json",
    "09_bot_block.json",
    "10_same_human_next_day.json",
    "11_subscriber_gives_phone.json",
    "12_whatsapp_incoming.json",
);

/// What the stories of the demo send: file below `fixtures/`, and its text.
pub static STORIES: &[(&str, &str)] = shipped!("fixtures":
    "botmother/01_mailing_link.json",
    "mindbox/02_abandoned_cart.json",
    "chatterfy/02_registered.txt",
    "chatterfy/05_sale.txt",
    "chatterfy/06_resale.txt",
    "chatterfy/07_second_resale.txt",
    "metabot/01_registered.json",
    "metabot/02_same_person_in_viber.json",
    "metabot/04_order_shipped.json",
    "telegram/01_start_by_a_link.json",
    "telegram/02_own_contact.json",
    "esputnik/04_not_delivered.json",
);

/// Which phone or email belongs to which invented human; the sandbox counts duplicates with it, leadfold never reads it.
pub static TRUTH: &str = include_str!("../fixtures/truth.json");
