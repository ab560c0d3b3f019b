//! Links between a person whom a bot knows and a user of a web site, and deep links into bots: the pure part.
//!
//! The bot sends its person a link to the site, with a public id that says nothing of them (`buid`), and a PIN. The site
//! asks the visitor for the PIN and has it verified; with it goes the id of the user who is logged in there, if anybody is.
//! What follows depends on what is known. *Linked* is what somebody proved: a right PIN, out of this very chat.
//!
//! | linked with this chat | in the request | what else is known | outcome | then |
//! |---|---|---|---|---|
//! | user A | nobody | | `linked` | log in as A |
//! | user A | A | | `already_linked` | go back to the site |
//! | user A | B | | `conflict` | `settle`: `rebind` or `keep` |
//! | nobody | B | B is nobody's, or this person's | `bound` | done |
//! | nobody | B | B is another person's, and nothing keeps the two apart | `bound` | they are one person now; undone by `people split` |
//! | nobody | B | B is another person's, and something does | `conflict` | `settle` |
//! | nobody | B | this person is another user, by what was typed or by another chat | `conflict` | `settle` |
//! | nobody | nobody | this person is user A by what was typed or by another chat | `found` | log in as A with the site's own means, then `bind` |
//! | nobody | nobody | the phone or email of the request is user A's | `found` | the same |
//! | nobody | nobody | nothing | `register` | register, then `bind` |
//!
//! A chat that joined a person by a typed phone may be a stranger's: so what only the person is known by is never enough to
//! log anybody in, and `found` is a question.
//!
//! Before that, in this order ([`examine`]):
//!
//! | | outcome | then |
//! |---|---|---|
//! | this visitor has failed too often, whatever the link | `too_many_tries` | wait |
//! | there is no such link: mangled, erased, or never issued | `unknown_link` | a new link |
//! | a PIN was right once already: a link that was forwarded, or sent again | `used_link` | a new link |
//! | a newer link was sent into the chat, or the chat was unlinked | `ended_link` | the newer one |
//! | it is too old | `expired_link` | a new link |
//! | it needs no PIN | `recognised` | show a form, nothing that is worth stealing |
//! | the request has no PIN | `pin_required` | ask for it |
//! | all tries of this PIN are spent | `too_many_tries` | a new PIN |
//! | the PIN is too old | `expired_pin` | a new PIN |
//! | the PIN is wrong | `wrong_pin` | try again |
//!
//! A new PIN goes into the chat, and never to the site: the site asks for it, and the answer only says that it is on its way
//! (`pin_on_its_way`), or that nothing can be written there (`no_live_chat`). It takes the place of the one before when it is
//! sent, with tries of its own; a link has few PINs, and what the same visitor failed stays counted.
//!
//! Whoever is logged in at the site and types the PIN of somebody else's link gives that one's chat their account: so a site
//! says in so many words what it links before it asks a visitor for a PIN who is logged in.
//!
//! A right PIN is used up, whatever follows. Where something is left to settle the answer has a *ticket*, once and for half
//! an hour, and that alone lets `bind` and `settle` go on: neither the link nor the PIN does any more.
//!
//! | call | outcomes |
//! |---|---|
//! | `bind` (the user was registered, or logged in) | `bound`, `already_linked`, `conflict`, and those of a ticket |
//! | `settle` `rebind` | `rebound`; `conflict` while another chat of the person is linked with the other user |
//! | `settle` `keep` | `kept` |
//! | a ticket | `unknown_ticket`, `expired_ticket`, `used_ticket`; `nothing_to_settle` |
//! | `unlink`, from the bot (log out) or from the site | `unlinked`, `not_linked` |
//!
//! Deep links go the other way, from a site or a mailing into a bot: [`start_parameter`] and [`may_go_as_is`].

mod judge;
mod outcome;
mod secret;
mod start;

pub use judge::{
    Examined, IssuedLink, KnownUsers, LinkState, Verdict, examine, judge, most_failures, still_counts,
};
pub use outcome::Outcome;
pub use secret::{Secret, draw, draw_pin, draw_token, is_pin, kept, kept_pin, pin_key};
pub use start::{LONGEST as LONGEST_START, StartParameter, deep_link, may_go_as_is, start_parameter};
