//! Refusals of the read API and their responses.

use super::query::QueryFault;
use crate::http::Response;
use crate::monitor::store::StoreError;

/// Why a request is refused.
pub enum ApiRefusal {
    Malformed(QueryFault),
    NotFound(&'static str),
    /// All paths here are read only.
    Method,
    Store(StoreError),
    /// 401 or 403.
    Access(Response),
}

impl From<QueryFault> for ApiRefusal {
    fn from(fault: QueryFault) -> ApiRefusal {
        ApiRefusal::Malformed(fault)
    }
}

impl From<StoreError> for ApiRefusal {
    fn from(error: StoreError) -> ApiRefusal {
        ApiRefusal::Store(error)
    }
}

impl ApiRefusal {
    pub fn into_response(self) -> Response {
        match self {
            ApiRefusal::Malformed(fault) => Response::error(400, &fault),
            ApiRefusal::NotFound(what) => Response::error(404, what),
            ApiRefusal::Method => {
                Response::error(405, "method not allowed here (see Allow)").header("Allow", "GET, HEAD")
            }
            ApiRefusal::Store(error) => unavailable(&error),
            ApiRefusal::Access(response) => response,
        }
    }
}

fn unavailable(error: &StoreError) -> Response {
    Response::error(503, &error.to_string()).header("Retry-After", "5")
}
