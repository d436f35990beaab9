//! Telephone numbers: international, North American, and national ones of many countries beside
//! the words by which a text says that it speaks of a telephone.

use crate::dice::{DIGITS, Dice};
use crate::line::Payload;

/// International numbers as people of these countries write them.
const INTERNATIONAL: &[&str] = &[
    "+1N##N######",
    "+1 (N#N) N##-####",
    "+1-N#N-N##-####",
    "+1 N#N N## ####",
    "+44 20 7### ####",
    "+447#########",
    "+44 (0)20 7946 ####",
    "+49 30 1234###",
    "+49 151 N#######",
    "+49 (0)89 #######",
    "+33 6 ## ## ## ##",
    "+33 (0)1 ## ## ## ##",
    "+336########",
    "+34 6## ### ###",
    "+34 91 ### ## ##",
    "+39 06 #### ####",
    "+39 3## ### ####",
    "+31 6 ########",
    "+31 20 ### ####",
    "+32 470 ## ## ##",
    "+41 44 ### ## ##",
    "+41 79 ### ## ##",
    "+43 664 #######",
    "+45 ## ## ## ##",
    "+46 70 ### ## ##",
    "+47 4## ## ###",
    "+48 ### ### ###",
    "+351 91# ### ###",
    "+352 621 ### ###",
    "+353 85 ### ####",
    "+354 ### ####",
    "+358 40 ### ####",
    "+30 69# ### ####",
    "+36 30 ### ####",
    "+40 7## ### ###",
    "+420 ### ### ###",
    "+421 9## ### ###",
    "+380 ## ### ## ##",
    "+7 9## ### ## ##",
    "+7 (9##) ###-##-##",
    "+90 5## ### ## ##",
    "+91 98### #####",
    "+91-98########",
    "+92 300 #######",
    "+86 138 #### ####",
    "+86 10 #### ####",
    "+81 90-####-####",
    "+81 3 #### ####",
    "+82 10-####-####",
    "+61 4## ### ###",
    "+61 2 #### ####",
    "+64 21 ### ####",
    "+55 11 9####-####",
    "+52 55 #### ####",
    "+54 9 11 ####-####",
    "+56 9 #### ####",
    "+57 3## ### ####",
    "+27 82 ### ####",
    "+234 80# ### ####",
    "+254 7## ### ###",
    "+20 10 #### ####",
    "+972 5#-###-####",
    "+971 50 ### ####",
    "+966 5# ### ####",
    "+65 #### ####",
    "+852 #### ####",
    "+62 812-####-####",
    "+60 12-### ####",
    "+66 8# ### ####",
    "+84 9## ### ###",
    "+63 917 ### ####",
    "+886 912 ### ###",
    "+212 6 ## ## ## ##",
    "+49.30.1234###",
    "+44-20-7###-####",
];

/// North American numbers that are clear without a word.
const AMERICAN: &[&str] = &[
    "(N#N) N##-####",
    "N#N-N##-####",
    "N#N.N##.####",
    "1-N#N-N##-####",
    "(N#N)N##-####",
];

/// National numbers by the language in which they are spoken of.
const NATIONAL: &[(&str, &[&str])] = &[
    (
        "en",
        &[
            "020 7### ####",
            "07### ######",
            "01### ######",
            "N#N N## ####",
            "N#NN######",
            "(02) #### ####",
            "04## ### ###",
            "085 ### ####",
            "(01) ### ####",
            "09 ### ####",
            "082 ### ####",
            "0803 ### ####",
            "98### #####",
            "011-########",
            "0300-#######",
            "0917 ### ####",
        ],
    ),
    (
        "de",
        &[
            "030 #######",
            "0151 ########",
            "089/#######",
            "0221-######",
            "030/1234-###",
            "079 ### ## ##",
            "0664 #######",
            "01 #######",
            "044 ### ## ##",
        ],
    ),
    (
        "fr",
        &[
            "0N ## ## ## ##",
            "0N.##.##.##.##",
            "06########",
            "0470 ## ## ##",
            "02 ### ## ##",
        ],
    ),
    (
        "es",
        &[
            "6## ### ###",
            "91 ### ## ##",
            "6########",
            "55 #### ####",
            "011 ####-####",
            "9 #### ####",
            "3## ### ####",
        ],
    ),
    (
        "it",
        &["06 #### ####", "3## ### ####", "02 #######", "3#########"],
    ),
    (
        "pt",
        &[
            "21 ### ####",
            "91# ### ###",
            "(11) 9####-####",
            "11 9####-####",
            "91#######",
        ],
    ),
    (
        "nl",
        &[
            "06-########",
            "020 ### ####",
            "06 ## ## ## ##",
            "0470 ## ## ##",
        ],
    ),
    ("pl", &["### ### ###", "22 ### ## ##", "5## ### ###"]),
    (
        "nordic",
        &[
            "08-### ### ##",
            "070-### ## ##",
            "## ## ## ##",
            "4## ## ###",
            "040 ### ####",
            "09 #### ####",
            "N#######",
        ],
    ),
    ("cs", &["### ### ###", "7########"]),
    (
        "tr",
        &["0(5##) ### ## ##", "05## ### ## ##", "0 5## ### ## ##"],
    ),
    (
        "ru",
        &[
            "8 (9##) ###-##-##",
            "8 9## ###-##-##",
            "8-9##-###-##-##",
            "89#########",
            "0## ### ## ##",
        ],
    ),
    (
        "zh",
        &[
            "138 #### ####",
            "138########",
            "010-########",
            "0912-###-###",
        ],
    ),
    ("ja", &["03-####-####", "090-####-####", "090########"]),
    ("ko", &["02-####-####", "010-####-####", "010########"]),
    (
        "ar",
        &[
            "050 ### ####",
            "05# ### ####",
            "010 #### ####",
            "01########",
        ],
    ),
    ("id", &["0812-####-####", "0812########"]),
    ("vi", &["09## ### ###", "09########"]),
];

/// How each language says that a telephone number follows.
const WORDS: &[(&str, &[&str])] = &[
    (
        "en",
        &[
            "phone: ",
            "Phone number: ",
            "tel. ",
            "Tel: ",
            "telephone ",
            "mobile ",
            "Mobile no. ",
            "cell: ",
            "fax ",
            "call me at ",
            "my phone number is ",
            "phone=",
            "phone_number=",
            "mobile_no=",
            "tel:",
            "WhatsApp ",
            "sms to ",
            "contact number ",
            "please dial ",
        ],
    ),
    (
        "de",
        &[
            "Telefon: ",
            "Tel.: ",
            "Telefonnummer ",
            "Handy: ",
            "Handynummer ",
            "Mobil ",
            "Rufnummer ",
            "Fax: ",
            "telefon=",
        ],
    ),
    (
        "fr",
        &[
            "téléphone : ",
            "Tél. ",
            "tél: ",
            "Téléphone portable ",
            "Portable : ",
            "numéro de téléphone ",
            "telephone=",
        ],
    ),
    (
        "es",
        &[
            "teléfono: ",
            "Tel. ",
            "móvil ",
            "Teléfono móvil: ",
            "celular: ",
            "llame al ",
            "telefono=",
        ],
    ),
    (
        "it",
        &[
            "telefono: ",
            "Tel. ",
            "cellulare ",
            "Cell. ",
            "numero di telefono ",
        ],
    ),
    (
        "pt",
        &["telefone: ", "telemóvel ", "celular ", "Tel. ", "telefone="],
    ),
    (
        "nl",
        &["telefoon: ", "Tel. ", "telefoonnummer ", "mobiel ", "GSM: "],
    ),
    (
        "pl",
        &[
            "telefon: ",
            "tel. ",
            "tel. kom. ",
            "numer telefonu ",
            "komórka: ",
        ],
    ),
    (
        "nordic",
        &[
            "telefon: ",
            "tlf. ",
            "Tlf: ",
            "mobil ",
            "mobilnummer ",
            "puhelin: ",
            "puh. ",
            "telefonnummer ",
        ],
    ),
    ("cs", &["telefon: ", "tel. ", "mobil: "]),
    ("tr", &["telefon: ", "cep telefonu ", "Tel: "]),
    (
        "ru",
        &[
            "телефон: ",
            "Тел. ",
            "тел.: ",
            "мобильный ",
            "номер телефона клиента: ",
            "моб. ",
        ],
    ),
    (
        "zh",
        &["电话：", "手机号码 ", "联系电话:", "手机: ", "電話 "],
    ),
    ("ja", &["電話番号：", "電話 ", "携帯 ", "TEL: "]),
    ("ko", &["전화번호: ", "휴대폰 ", "연락처: "]),
    ("ar", &["هاتف: ", "رقم الهاتف ", "جوال "]),
    ("id", &["telepon: ", "No. HP ", "ponsel "]),
    ("vi", &["điện thoại: ", "SĐT: ", "Số điện thoại "]),
];

/// A number with its country's code.
pub(crate) fn international(dice: &mut Dice) -> Payload {
    let pattern = dice.of(INTERNATIONAL);
    let filled = dice.fill(pattern);
    if pattern.starts_with("+1") {
        return Payload::whole(plain_codes(&filled));
    }
    // E.164 without marks, as programs keep them.
    if dice.once_in(3) {
        let digits = filled.replace("(0)", "");
        let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
        return Payload::whole(format!("+{digits}"));
    }
    Payload::whole(filled)
}

/// The same as a part of an address, its plus and its spaces as they are written there.
pub(crate) fn in_query(dice: &mut Dice) -> Payload {
    let plain = |mark: char| mark.is_ascii_digit() || " +#N".contains(mark);
    let pattern = loop {
        let pattern = dice.of(INTERNATIONAL);
        if pattern.chars().all(plain) {
            break pattern;
        }
    };
    let filled = dice.fill(pattern);
    let filled = if pattern.starts_with("+1") {
        plain_codes(&filled)
    } else {
        filled
    };
    let number = filled.replace('+', "").replace(' ', dice.of(&["+", "%20"]));
    let before = dice.of(&["/call?to=%2B", "q=ring+%2B", "name=Ada%20L&phone=%2B"]);
    Payload::part(before, &number, "&page=2")
}

/// An American number that needs no word.
pub(crate) fn american(dice: &mut Dice) -> Payload {
    let pattern = dice.of(AMERICAN);
    Payload::whole(plain_codes(&dice.fill(pattern)))
}

/// Area and exchange codes that end in 11 are services, such as 911.
fn plain_codes(number: &str) -> String {
    let mut number: Vec<char> = number.chars().collect();
    let digits: Vec<usize> = (0..number.len())
        .filter(|at| number[*at].is_ascii_digit())
        .collect();
    let from = digits.len() - 10;
    for code in [from, from + 3] {
        if number[digits[code + 1]] == '1' && number[digits[code + 2]] == '1' {
            number[digits[code + 2]] = '2';
        }
    }
    number.into_iter().collect()
}

/// A national number behind a word of its language.
pub(crate) fn national(dice: &mut Dice) -> Payload {
    let (language, patterns) = dice.of(NATIONAL);
    let words = WORDS
        .iter()
        .find(|(known, _)| *known == language)
        .unwrap()
        .1;
    let pattern = dice.of(patterns);
    let mut number = dice.fill(pattern);
    if ["N#N N## ####", "N#NN######"].contains(&pattern) {
        number = plain_codes(&number);
    }
    if dice.once_in(12) && language != "en" {
        // Dialled from abroad.
        number = format!("00{} {}", dice.between(30, 49), dice.fill("## ### ####"));
    }
    Payload::part(dice.of(words), &number, "")
}

/// A number under a name that is only for such numbers.
pub(crate) fn named(dice: &mut Dice) -> Payload {
    let name = dice.of(&[
        "phone",
        "phoneNumber",
        "phone_number",
        "mobile",
        "mobilePhone",
        "tel",
        "telephone",
        "fax",
        "msisdn",
        "cell",
        "contact_phone",
        "telefon",
        "telefono",
        "telefone",
        "celular",
        "handynummer",
        "telefonnummer",
        "homePhone",
        "phone_no",
        "mobileNumber",
        "whatsapp",
    ]);
    let (_, patterns) = dice.of(NATIONAL);
    let pattern = dice.of(patterns);
    let number = match dice.below(3) {
        0 => dice.fill(pattern),
        1 => format!("{}{}", dice.between(2, 9), dice.text(DIGITS, 9)),
        _ => dice.fill(pattern).replace(' ', ""),
    };
    match dice.below(5) {
        0 => Payload::part(&format!("{{\"{name}\":\""), &number, "\"}"),
        1 => Payload::part(&format!("{{\"a\":1,\"{name}\": \""), &number, "\",\"b\":2}"),
        2 => Payload::part(&format!("{{\\\"{name}\\\":\\\""), &number, "\\\"}"),
        3 => Payload::part(&format!("{name}=\""), &number, "\" next=1"),
        _ => Payload::part(&format!("<{name}>"), &number, &format!("</{name}>")),
    }
}
