//! Parameters of a request, from the query string or from a JSON body, into the same typed struct.
//! A name that is not known is refused: a misspelt filter must not widen the answer.

use crate::error::Problem;
use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::future::LocalBoxFuture;
use millrace_shared::outcome::Refusal;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::future::{Ready, ready};
use utoipa::ToSchema;

/// Bytes of a JSON body: a hundred sample events of a rule test fit.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A value written as text, number or boolean: query strings know only text.
#[derive(Clone, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(value_type = String)]
pub struct Loose(pub String);

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Loose(text)),
            Value::Number(number) => Ok(Loose(number.to_string())),
            Value::Bool(bool) => Ok(Loose(bool.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(D::Error::custom("expected text or a number, given once"))
            }
        }
    }
}

impl Loose {
    /// Reads a number.
    ///
    /// # Errors
    /// 400 when it is none.
    pub fn number<N: std::str::FromStr>(&self, name: &str) -> Result<N, Problem> {
        let number = self.0.trim().parse();
        number.map_err(|_| Problem::parameter(name, "is not a whole number in range"))
    }

    /// Reads a flag, which is off unless it is given.
    ///
    /// # Errors
    /// 400 for anything but true and false.
    pub fn flag(given: Option<&Loose>, name: &str) -> Result<bool, Problem> {
        let flag = given.map_or(Ok(false), |given| given.0.parse());
        flag.map_err(|_| Problem::parameter(name, "must be true or false"))
    }
}

/// One value or several: repeated in a query string (or separated by commas), an array in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(value_type = Vec<String>)]
pub struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let items = match value {
            Value::Array(items) => items,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => {
                vec![value]
            }
        };
        let text = |item| {
            Loose::deserialize(item)
                .map(|loose| loose.0)
                .map_err(D::Error::custom)
        };
        items
            .into_iter()
            .map(text)
            .collect::<Result<_, _>>()
            .map(OneOrMany)
    }
}

impl OneOrMany {
    /// The values, with those that hold commas split there.
    #[must_use]
    pub fn split(&self) -> Vec<String> {
        let parts = self.0.iter().flat_map(|value| value.split(','));
        let parts = parts.map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    }
}

/// The parameters of a search: from the query string of a GET, from the JSON body of a POST.
#[derive(Debug)]
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Asked<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if request.method() == Method::POST && request.query_string().is_empty() {
            let bytes = web::Bytes::from_request(request, payload);
            return Box::pin(async move { read_json(&received(bytes.await)?).map(Asked) });
        }
        let read = read_query(request.query_string()).map(Asked);
        Box::pin(ready(read))
    }
}

/// The parameters of a request whose body is something else.
#[derive(Debug)]
pub struct InQuery<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for InQuery<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read_query(request.query_string()).map(InQuery))
    }
}

/// The JSON body of a change.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = web::Bytes::from_request(request, payload);
        Box::pin(async move { read_json(&received(bytes.await)?).map(Body) })
    }
}

fn received(bytes: Result<Bytes, actix_web::Error>) -> Result<Bytes, Problem> {
    bytes.map_err(|error| {
        let too_large = error.as_response_error().status_code().as_u16() == 413;
        let refusal = if too_large {
            Refusal::TooLarge
        } else {
            Refusal::NotJson
        };
        Problem::new(refusal, format!("the body cannot be read: {error}"))
    })
}

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        Problem::new(Refusal::NotJson, format!("the body is not JSON: {error}"))
    })?;
    typed(value)
}

fn read_query<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let mut members = Map::new();
    for (name, text) in url::form_urlencoded::parse(query.as_bytes()) {
        let text = Value::String(text.into_owned());
        match members.get_mut(name.as_ref()) {
            None => {
                members.insert(name.into_owned(), text);
            }
            Some(Value::Array(items)) => items.push(text),
            Some(first) => *first = Value::Array(vec![first.take(), text]),
        }
    }
    typed(Value::Object(members))
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_json::from_value(value)
        .map_err(|error| Problem::new(Refusal::BadParameter, error.to_string()))
}

/// Reads a limit on rows.
///
/// # Errors
/// 400 for what is no number, zero, or more than `most`.
pub fn limit(given: Option<&Loose>, default: u32, most: u32) -> Result<u32, Problem> {
    let Some(given) = given else {
        return Ok(default);
    };
    let limit: u32 = given.number("limit")?;
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::parameter(
        "limit",
        format!("must lie between 1 and {most}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq, Eq)]
    #[serde(deny_unknown_fields)]
    struct Example {
        service: Option<OneOrMany>,
        limit: Option<Loose>,
    }

    #[test]
    fn a_query_string_and_a_body_mean_the_same() {
        let query: Example = read_query("service=a%2Cb&service=c&limit=5").unwrap();
        let body: Example = read_json(br#"{"service":["a,b","c"],"limit":5}"#).unwrap();
        assert_eq!(query, body);
        assert_eq!(query.service.unwrap().split(), ["a", "b", "c"]);
    }

    #[test]
    fn a_misspelt_name_and_a_limit_out_of_range_are_refused() {
        let error = read_query::<Example>("servise=a").unwrap_err();
        assert_eq!(error.refusal(), Refusal::BadParameter);
        assert!(error.to_string().contains("servise"), "{error}");
        assert!(read_query::<Example>("limit=1&limit=2").is_err());
        for bad in ["0", "1001", "-1", "x"] {
            assert!(
                limit(Some(&Loose(bad.to_owned())), 100, 1000).is_err(),
                "{bad}"
            );
        }
    }
}
