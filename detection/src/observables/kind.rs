//! The kinds of observables and indicators, and their names.

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What an observable or an indicator is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            /// All kinds, in the order of their numbers.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind,)*];

            /// Its name, as it is stored and shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Kind::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    /// An IPv4 address.
    Ipv4 = "ipv4",
    /// An IPv6 address.
    Ipv6 = "ipv6",
    /// A network in CIDR notation.
    Cidr = "cidr",
    /// A domain name; as an indicator, with all its subdomains.
    Domain = "domain",
    /// A URL.
    Url = "url",
    /// An e-mail address.
    Email = "email",
    /// An MD5 digest.
    Md5 = "md5",
    /// A SHA-1 digest.
    Sha1 = "sha1",
    /// A SHA-256 digest.
    Sha256 = "sha256",
    /// A SHA-512 digest.
    Sha512 = "sha512",
    /// A CVE id.
    Cve = "cve",
}

impl Kind {
    /// Reads a name, ours or one of those that feeds use.
    #[must_use]
    pub fn parse(name: &str) -> Option<Kind> {
        let name = name.trim().to_ascii_lowercase();
        if let Some(kind) = Kind::ALL.iter().find(|kind| kind.as_str() == name) {
            return Some(*kind);
        }
        match name.replace(['-', '_', ' '], "").as_str() {
            "ipv4addr" | "ipv4address" => Some(Kind::Ipv4),
            "ipv6addr" | "ipv6address" => Some(Kind::Ipv6),
            "network" | "subnet" | "netblock" | "range" | "ipv4cidr" | "ipv6cidr" => {
                Some(Kind::Cidr)
            }
            "domainname" | "hostname" | "host" | "fqdn" => Some(Kind::Domain),
            "uri" | "link" => Some(Kind::Url),
            "emailaddr" | "emailaddress" | "mail" | "emailsrc" | "emaildst" => Some(Kind::Email),
            "md5hash" | "filehashmd5" => Some(Kind::Md5),
            "sha1hash" | "filehashsha1" => Some(Kind::Sha1),
            "sha256hash" | "filehashsha256" => Some(Kind::Sha256),
            "sha512hash" | "filehashsha512" => Some(Kind::Sha512),
            "cveid" | "vulnerability" => Some(Kind::Cve),
            _ => None,
        }
    }

    /// The digest with that many hexadecimal digits.
    #[must_use]
    pub const fn of_digest(digits: usize) -> Option<Kind> {
        match digits {
            32 => Some(Kind::Md5),
            40 => Some(Kind::Sha1),
            64 => Some(Kind::Sha256),
            128 => Some(Kind::Sha512),
            _ => None,
        }
    }
}
