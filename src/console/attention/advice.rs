//! What each cause is called, and the one thing to do about it. The codes are those of reasons (`crate::plan::Reason`) with which
//! leads stop before a person.

use super::super::guard::Reader;
use crate::store::replay::How;

/// What is said of a cause.
pub(super) struct Advice {
    code: &'static str,
    title: [&'static str; 2],
    todo: [&'static str; 2],
    /// How its leads go on once that is done.
    pub(super) how: How,
}

impl Advice {
    pub(super) fn title(&self, reader: &Reader) -> &'static str {
        reader.say(self.title[0], self.title[1])
    }

    pub(super) fn todo(&self, reader: &Reader) -> &'static str {
        reader.say(self.todo[0], self.todo[1])
    }
}

/// What is said of a cause with this code.
pub(super) fn advice(code: &str) -> &'static Advice {
    ADVICE.iter().find(|advice| advice.code == code).unwrap_or(&OTHER)
}

const OTHER: Advice = Advice {
    code: "",
    title: ["Something else", "Інша причина"],
    todo: [
        "Read the reason below, correct what it names, then replay.",
        "Прочитайте причину нижче, виправте те, про що в ній ідеться, і повторіть.",
    ],
    how: How::Resume,
};

const ADVICE: &[Advice] = &[
    Advice {
        code: "mapping_error",
        title: ["The mapping fails on these leads", "Мапінг не справився з цими лідами"],
        todo: [
            "Correct the mapping at the place that is named, then replay with today’s mapping.",
            "Виправте мапінг у названому місці, потім повторіть із сьогоднішнім мапінгом.",
        ],
        how: How::Replan,
    },
    Advice {
        code: "mapping_unreadable",
        title: ["The mapping that made them cannot be read", "Мапінг, з яким прийшли ліди, не читається"],
        todo: ["Replay with today’s mapping.", "Повторіть із сьогоднішнім мапінгом."],
        how: How::Replan,
    },
    Advice {
        code: "call_error",
        title: ["What a bot should get could not be made", "Не вдалося скласти повідомлення для бота"],
        todo: [
            "Correct the call in the mapping, then replay with today’s mapping.",
            "Виправте виклик бота в мапінгу, потім повторіть із сьогоднішнім мапінгом.",
        ],
        how: How::Replan,
    },
    Advice {
        code: "no_recipient",
        title: ["A bot has nobody to write to", "Боту нікому писати"],
        todo: [
            "The recipient came out empty. Correct it in the mapping, then replay with today’s mapping.",
            "Отримувач вийшов порожній. Виправте його в мапінгу й повторіть із сьогоднішнім мапінгом.",
        ],
        how: How::Replan,
    },
    Advice {
        code: "crm_rejected",
        title: ["The CRM refuses them", "CRM їх не приймає"],
        todo: [
            "Read what the CRM said. Correct that in the CRM and replay; or correct the mapping and replay with today’s mapping.",
            "Прочитайте, що відповіла CRM. Виправте це в CRM і повторіть, або виправте мапінг і повторіть із ним.",
        ],
        how: How::Resume,
    },
    Advice {
        code: "search_rejected",
        title: ["The CRM refuses to search", "CRM відмовляється шукати"],
        todo: [
            "Read what the CRM said: often a right is missing or a field has gone. Correct it there, then replay.",
            "Прочитайте, що відповіла CRM: часто бракує права або зникло поле. Виправте це там і повторіть.",
        ],
        how: How::Resume,
    },
    Advice {
        code: "look_up_rejected",
        title: ["The CRM does not say whether it was written", "CRM не каже, чи запис з’явився"],
        todo: [
            "Read what the CRM said and correct it there, then replay: leadfold looks again and writes nothing twice.",
            "Прочитайте, що відповіла CRM, виправте це там і повторіть: leadfold пошукає ще раз і нічого не запише двічі.",
        ],
        how: How::Resume,
    },
    Advice {
        code: "crm_keeps_failing",
        title: ["The CRM failed on them again and again", "CRM раз у раз дає збій на них"],
        todo: ["Look whether the CRM works, then replay.", "Перевірте, чи працює CRM, потім повторіть."],
        how: How::Resume,
    },
    Advice {
        code: "never_confirmed",
        title: ["The CRM never confirmed what was written", "CRM так і не підтвердила запис"],
        todo: [
            "Look whether the CRM works, then replay: leadfold looks the record up before it writes again.",
            "Перевірте, чи працює CRM, потім повторіть: перед новим записом leadfold пошукає вже зроблений.",
        ],
        how: How::Resume,
    },
    Advice {
        code: "blind_step_unknown",
        title: ["It may be in the CRM, or it may not", "Можливо, це вже в CRM, а можливо, ні"],
        todo: [
            "Open the lead, look in the CRM whether it is there. If it is not, force the lead on its page.",
            "Відкрийте лід і подивіться в CRM, чи він там є. Якщо ні, натисніть «Примусово» на його сторінці.",
        ],
        how: How::Resume,
    },
    Advice {
        code: "written_twice",
        title: ["It stands in the CRM twice", "У CRM це записано двічі"],
        todo: [
            "Remove the second record in the CRM, then replay to close this.",
            "Видаліть другий запис у CRM, потім повторіть, щоб закрити це.",
        ],
        how: How::Resume,
    },
    Advice {
        code: "conflict",
        title: ["Phone and email are of two people", "Телефон і пошта належать різним людям"],
        todo: [
            "Find out whose lead it is; correct or merge the contacts in the CRM, then replay.",
            "З’ясуйте, чий це лід; виправте або об’єднайте контакти в CRM і повторіть.",
        ],
        how: How::Resume,
    },
    Advice {
        code: "two_contacts",
        title: ["One person has two contacts", "В однієї людини два контакти"],
        todo: [
            "Merge the two contacts in the CRM, then replay. The leads themselves are in the CRM.",
            "Об’єднайте два контакти в CRM і повторіть. Самі ліди вже в CRM.",
        ],
        how: How::Resume,
    },
    Advice {
        code: "lead_unreadable",
        title: ["Another version of leadfold stored them", "Їх зберегла інша версія leadfold"],
        todo: [
            "Start the version that stored them (usually the newer one), then replay.",
            "Запустіть ту версію, яка їх зберегла (зазвичай новішу), потім повторіть.",
        ],
        how: How::Resume,
    },
    Advice {
        code: "internal_error",
        title: ["leadfold itself failed on them", "Збій у самому leadfold"],
        todo: [
            "Report it with the log of the server, then replay.",
            "Повідомте розробників і додайте журнал сервера, потім повторіть.",
        ],
        how: How::Resume,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_cause_has_one_thing_to_do() {
        let codes: BTreeSet<&str> = ADVICE.iter().map(|advice| advice.code).collect();
        assert_eq!(codes.len(), ADVICE.len(), "no code twice");
        for advice in ADVICE.iter().chain([&OTHER]) {
            for text in advice.todo {
                assert!(text.ends_with('.') && !text.contains('`'), "{text}");
            }
            assert_ne!(advice.title[0], advice.title[1]);
        }
        assert_eq!(advice("crm_rejected").code, "crm_rejected");
        assert_eq!(advice("of another version").code, "");
    }
}
