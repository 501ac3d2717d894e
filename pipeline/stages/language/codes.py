"""Labels of different models compared: codes of ISO 639, macrolanguages, and the scripts that languages are written in.

Purpose: one model says `zh`, another `zho_Hans`, a third `__label__cmn_Hani`, and all mean the same.
Guarantee: `same` is symmetric. A macrolanguage and a language in it agree; two languages of one macrolanguage do not, unless
they are in one group of close languages. No network: the tables below are facts of ISO 639-3 (July 2026) and ISO 15924.
Cost: under 1 us for each pair.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from tokenmill.pipeline.stages.fasttext import LABEL_PREFIX

Groups = tuple[tuple[str, ...], ...]
"""Groups of close languages."""

ISO_639_1 = """
aar:aa abk:ab afr:af aka:ak amh:am ara:ar arg:an asm:as ava:av ave:ae aym:ay aze:az bak:ba bam:bm bel:be ben:bn bis:bi bod:bo
bos:bs bre:br bul:bg cat:ca ces:cs cha:ch che:ce chu:cu chv:cv cor:kw cos:co cre:cr cym:cy dan:da deu:de div:dv dzo:dz ell:el
eng:en epo:eo est:et eus:eu ewe:ee fao:fo fas:fa fij:fj fin:fi fra:fr fry:fy ful:ff gla:gd gle:ga glg:gl glv:gv grn:gn guj:gu
hat:ht hau:ha hbs:sh heb:he her:hz hin:hi hmo:ho hrv:hr hun:hu hye:hy ibo:ig ido:io iii:ii iku:iu ile:ie ina:ia ind:id ipk:ik
isl:is ita:it jav:jv jpn:ja kal:kl kan:kn kas:ks kat:ka kau:kr kaz:kk khm:km kik:ki kin:rw kir:ky kom:kv kon:kg kor:ko kua:kj
kur:ku lao:lo lat:la lav:lv lim:li lin:ln lit:lt ltz:lb lub:lu lug:lg mah:mh mal:ml mar:mr mkd:mk mlg:mg mlt:mt mon:mn mri:mi
msa:ms mya:my nau:na nav:nv nbl:nr nde:nd ndo:ng nep:ne nld:nl nno:nn nob:nb nor:no nya:ny oci:oc oji:oj ori:or orm:om oss:os
pan:pa pli:pi pol:pl por:pt pus:ps que:qu roh:rm ron:ro run:rn rus:ru sag:sg san:sa sin:si slk:sk slv:sl sme:se smo:sm sna:sn
snd:sd som:so sot:st spa:es sqi:sq srd:sc srp:sr ssw:ss sun:su swa:sw swe:sv tah:ty tam:ta tat:tt tel:te tgk:tg tgl:tl tha:th
tir:ti ton:to tsn:tn tso:ts tuk:tk tur:tr twi:tw uig:ug ukr:uk urd:ur uzb:uz ven:ve vie:vi vol:vo wln:wa wol:wo xho:xh yid:yi
yor:yo zha:za zho:zh zul:zu
"""
MACROLANGUAGES = """
ak: fat tw | ar: aao abh abv acm acq acw acx acy adf aeb aec afb ajp apc apd arb arq ars ary arz auz avl ayh ayl ayn ayp bbz
pga shu ssh | ay: ayc ayr | az: azb azj | bal: bcc bgn bgp | bik: bcl bhk bln bto cts fbl lbl rbl ubl | bnc: ebk lbk obk rbk
vbk | bua: bxm bxr bxu | chm: mhr mrj | cr: crj crk crl crm csw cwd | del: umu unm | den: scs xsl | din: dib dik dip diw dks |
doi: dgo xnr | et: ekk vro | fa: pes prs | ff: ffm fub fuc fue fuf fuh fui fuq fuv | gba: bdt gbp gbq gmm gso gya mdo | gon:
esg ggo gno wsg | grb: gbo gec grj grv gry | gn: gnw gug gui gun nhd | hai: hax hdn | sh: bs cnr hr sr | hmn: blu cqd hea hma
hmc hmd hme hmg hmh hmi hmj hml hmm hmp hmq hms hmw hmy hmz hnj hrm huj mmr muq mww sfm | iu: ike ikt | ik: esi esk | jrb: ajt
aju jye yhd yud | kr: kby knc krt | kln: enb eyo niq oki pko sgc spy tec tuy | kok: gom knn | kv: koi kpv | kg: kng kwy ldi |
kpe: gkp xpe | ku: ckb kmr sdh | lah: hnd hno jat phr pmu pnb skr xhe | lv: ltg lvs | luy: bxk ida lkb lko lks lri lrm lsm lto
lts lwg nle nyd rag | man: emk mku mlq mnk msc mwk myq | mg: bhr bjq bmm bzc msh plt skg tdx tkg txy xmv xmw | mn: khk mvf |
ms: bjn btj bve bvu coa dup hji jak jax kvb kvr kxd lce lcf liw max meo mfa mfb min mly mqg msi mui orn ors pel pse tmw urk
vkk vkt xmm zlm zmi zsm | mwr: dhd mtr mve rwr swv wry | ne: dty npi | no: nn nb | oj: ciw ojb ojc ojg ojs ojw otw | or: ory
spv | om: gax gaz hae orc | ps: pbt pbu pst | qu: cqu qub qud quf qug quh quk qul qup qur qus quw qux quy quz qva qvc qve qvh
qvi qvj qvl qvm qvn qvo qvp qvs qvw qvz qwa qwc qwh qws qxa qxc qxh qxl qxn qxo qxp qxr qxt qxu qxw | raj: bgq gda gju hoj mup
wbr | rom: rmc rmf rml rmn rmo rmw rmy | sa: cls vsn | sq: aae aat aln als | sc: sdc sdn src sro | sw: swc swh | syr: aii cld
| tmh: taq thv thz ttq | uz: uzn uzs | yi: ydd yih | zap: zaa zab zac zad zae zaf zai zam zao zaq zar zas zat zav zaw zax zca
zcd zoo zpa zpb zpc zpd zpe zpf zpg zph zpi zpj zpk zpl zpm zpn zpo zpp zpq zpr zps zpt zpu zpv zpw zpx zpy zpz zsr ztc zte
ztg ztl ztm ztn ztp ztq zts ztt ztu ztx zty | za: ccx ccy zch zeh zgb zgm zgn zhd zhn zlj zln zlq zqe zyb zyg zyj zyn zzj |
zh: cdo cjy cmn cnp cpx csp czh czo gan hak hnm hsn luh lzh mnp nan sjc wuu yue | zza: diq kiu
"""
"""Indonesian is left out of Malay: models tell the two apart."""
SCRIPTS = """
Adlm: ff | Armn: hy hyw | Bali: ban | Beng: bn as bpy mni ctg syl | Bugi: bug | Cakm: ccp | Cans: iu cr oj | Cher: chr
| Copt: cop | Ethi: am ti tig gez byn har | Geor: ka xmf sva ab | Goth: got | Grek: el grc | Gujr: gu kfr | Guru: pa
| Hang: ko | Hani: zh ja ko vi | Hebr: he yi hbo lad arc jrb | Java: jv | Jpan: ja ain | Khmr: km | Knda: kn tcy kok
| Lana: nod | Laoo: lo | Lepc: lep | Limb: lif | Lisu: lis | Mand: mid | Mlym: ml | Mong: mn mnc | Mtei: mni
| Mymr: my shn mnw ksw kht pi rki | Newa: new | Nkoo: nqo man | Olck: sat | Orya: or spv | Osma: so | Rohg: rhg | Sinh: si pi
| Sund: su | Syrc: syr arc tru | Tale: tdd | Talu: khb | Taml: ta sa | Tavt: blt | Telu: te gon | Tfng: ber tmh zgh tzm shi rif
| Tglg: tl | Thaa: dv | Thai: th | Tibt: bo dz | Vaii: vai | Yiii: ii
"""
MANY = frozenset(("Latn", "Cyrl", "Arab", "Deva", "Zyyy"))
"""Scripts of too many languages to list, and no script."""


def _groups(text: str) -> Mapping[str, frozenset[str]]:
    entries = (entry.split(":") for entry in text.split("|"))
    return {name.strip(): frozenset(members.split()) for name, members in entries}


TWO_LETTERS = dict(pair.split(":") for pair in ISO_639_1.split())
"""Codes of ISO 639-1 by those of ISO 639-3."""
MEMBERS = {**_groups(MACROLANGUAGES), "bih": frozenset(("bho", "mai", "mag"))}
"""The languages of each macrolanguage, and of a collection (ISO 639-5) that models have as one label."""
WRITTEN = _groups(SCRIPTS)
"""The languages written in each script."""
OTHER_NAMES = {"iw": "he", "jw": "jv", "in": "id", "ji": "yi", "mo": "ro", "fil": "tl", "bh": "bih", "zsm": "ms", "zlm": "ms"}
"""Codes withdrawn from ISO 639, and those that models use for one another."""
AS_FOUND = {"Hans": "Hani", "Hant": "Hani", "Hira": "Jpan", "Kana": "Jpan", "Hrkt": "Jpan", "Kore": "Hang"}
"""Scripts in labels, by the name that they have in texts (see `kernels.language.scripts`)."""
SPLIT = re.compile(r"[-_.]")


@functools.cache
def language_of(label: str) -> str:
    """The language of a label, by its shortest code in ISO 639: `en` for `__label__eng_Latn`, `zh` for `zh-Hant`."""
    code = SPLIT.split(label.removeprefix(LABEL_PREFIX))[0].lower()
    code = TWO_LETTERS.get(code, code)
    return OTHER_NAMES.get(code, code)


@functools.cache
def script_in(label: str) -> str | None:
    """The script that a label names, such as `Latn` in `eng_Latn`; None if it names none."""
    for part in SPLIT.split(label.removeprefix(LABEL_PREFIX))[1:]:
        if len(part) == 4 and part.isalpha():
            return AS_FOUND.get(part.title(), part.title())
    return None


def group_of(label: str, close: Groups) -> tuple[str, ...]:
    """The group of close languages that a label is in; itself alone if there is none."""
    mine = language_of(label)
    return next((group for group in close if mine in map(language_of, group)), (label,))


@functools.cache
def same(a: str, b: str, close: Groups = ()) -> bool:
    """Whether two labels of two models name one language: by code, as macrolanguage and member, or in one close group."""
    one, other = language_of(a), language_of(b)
    if one == other or one in MEMBERS.get(other, ()) or other in MEMBERS.get(one, ()):
        return True
    return any({one, other} <= set(map(language_of, group)) for group in close)


@functools.cache
def any_same(label: str, others: tuple[str, ...]) -> bool:
    """Whether a label names the language of any of the others."""
    return any(same(label, other) for other in others)


@functools.cache
def can_be_written(label: str, script: str) -> bool:
    """Whether the language of a label is written in that script, as far as the table says."""
    named = script_in(label)
    if named is not None:  # Japanese and Korean have texts in Han alone.
        return script in (named, "Zyyy") or (script == "Hani" and named in ("Jpan", "Hang"))
    return script in MANY or any(same(label, language) for language in WRITTEN.get(script, ()))
