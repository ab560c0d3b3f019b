//! Real spellings of phones and emails, and the laws that hold for every text.

mod emails;
mod laws;
mod phones;
mod traps;
