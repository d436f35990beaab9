//! Client address → country, city and coordinates, from a MaxMind-format database where one is configured.

use maxminddb::{Reader, geoip2};
use std::net::IpAddr;
use std::path::Path;
use thiserror::Error;

/// Why a database cannot be used.
#[derive(Debug, Error)]
#[error("cannot read the address database {path}: {error}")]
pub struct GeoError {
    path: String,
    error: maxminddb::MaxMindDbError,
}

/// An address database, held in memory.
pub struct GeoDatabase {
    reader: Reader<Vec<u8>>,
}

/// Where an address is; empty where the database does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place<'d> {
    pub(crate) country: &'d str,
    pub(crate) city: &'d str,
    /// Degrees north and east.
    pub(crate) coordinates: Option<(f64, f64)>,
}

impl GeoDatabase {
    /// Reads a city or country database.
    ///
    /// # Errors
    /// When the file is missing or is no such database.
    pub fn open(path: &Path) -> Result<Self, GeoError> {
        let reader = Reader::open_readfile(path).map_err(|error| GeoError {
            path: path.display().to_string(),
            error,
        })?;
        Ok(GeoDatabase { reader })
    }

    /// ISO 3166 code of the country, English name of the city, and coordinates.
    pub(crate) fn place(&self, address: &str) -> Option<Place<'_>> {
        let address: IpAddr = address.parse().ok()?;
        let city: geoip2::City<'_> = self.reader.lookup(address).ok()?.decode().ok()??;
        Some(Place {
            country: city.country.iso_code.unwrap_or(""),
            city: city.city.names.english.unwrap_or(""),
            coordinates: city.location.latitude.zip(city.location.longitude),
        })
    }
}

impl std::fmt::Debug for GeoDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GeoDatabase(…)")
    }
}
