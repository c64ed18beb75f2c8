//! TLS as a client: which server certificates are trusted, and the TLS connection below ureq.
//!
//! | file | what it owns |
//! |---|---|
//! | `trust` | the certificates of a `ca_file`, and the rustls configuration made of them |
//! | `verifier` | the check of a server's certificate |
//! | `validity` | the validity dates of a certificate |
//! | `connector` | TLS over one of ureq's connections |
//! | `fault` | one sentence for each certificate error that a person can correct |

pub mod connector;
pub mod fault;
pub mod trust;
pub mod validity;
pub mod verifier;

#[cfg(test)]
mod tests;
