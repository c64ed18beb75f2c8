//! Refusals of the read API and their responses.

use super::query::QueryFault;
use crate::http::Response;
use crate::monitor::store::StoreError;

/// Why a request is refused.
pub enum WebRefusal {
    Malformed(QueryFault),
    NotFound(&'static str),
    /// All paths here are read only.
    Method,
    Store(StoreError),
    /// 401 or 403.
    Access(Response),
}

impl From<QueryFault> for WebRefusal {
    fn from(fault: QueryFault) -> WebRefusal {
        WebRefusal::Malformed(fault)
    }
}

impl From<StoreError> for WebRefusal {
    fn from(error: StoreError) -> WebRefusal {
        WebRefusal::Store(error)
    }
}

impl WebRefusal {
    pub fn into_response(self) -> Response {
        match self {
            WebRefusal::Malformed(fault) => Response::error(400, &fault),
            WebRefusal::NotFound(what) => Response::error(404, what),
            WebRefusal::Method => {
                Response::error(405, "method not allowed here (see Allow)").header("Allow", "GET, HEAD")
            }
            WebRefusal::Store(error) => unavailable(&error),
            WebRefusal::Access(response) => response,
        }
    }
}

fn unavailable(error: &StoreError) -> Response {
    Response::error(503, &error.to_string()).header("Retry-After", "5")
}
