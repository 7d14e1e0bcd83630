"""Word lists of the PII head's own training sentences: parts of organisations and of job titles, nationalities, prefixes."""

__all__ = [
    "BRANDS", "CITIES", "COINED", "COINED_ENDS", "FIELDS", "FIRST_NAMES", "LANDMARKS", "LEGAL", "NATIONALITIES", "ORG_KINDS", "ORG_WORDS", "PARTIES", "PLACES_OF_CARE", "PREFIXES",
    "RANKS", "RELIGIONS", "ROLES", "SCHOOLS", "TRADES",
]  # fmt: skip


def _list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.strip().replace("\n", "|").split("|"))


PREFIXES = _list("Mr.|Mrs.|Ms.|Miss|Dr.|Mr|Mrs|Ms|Dr|Prof.|Professor|Sir|Madam|Mx.")
LEGAL = _list("Inc.|Inc|LLC|Ltd|Ltd.|GmbH|AG|PLC|Corp|Corporation|Co.|S.A.|B.V.|Oy|AB|Limited|LLP|Pty Ltd|KG|SpA")
ORG_WORDS = _list("""
Blue|Green|Golden|Silver|Red|Northern|Southern|Western|Eastern|Pacific|Atlantic|Alpine|Nordic|National|International|Global|United|First|Royal
Metro|Urban|River|Summit|Pioneer|Horizon|Liberty|Heritage|Liberal|Open|Smart|Bright|Clear|Rapid|Prime|Apex|Delta|Sigma|Nova|Orion|Phoenix|Falcon
Eagle|Lion|Bear|Fox|Oak|Maple|Cedar|Pine|Rose|Harbour|Lake|Bridge|Castle|Tower|Garden|Sun|Moon|Star|Sky|Ocean|Stone|Iron|Copper|Crystal|Amber
Solar|Wind|Energy|Power|Water|Health|Care|Dental|Vision|Legal|Credit|Capital|Trust|Data|Cloud|Digital|Cyber|Mobile|Media|Music|Film|Design|Fashion
Food|Coffee|Bakery|Pizza|Fresh|Organic|Farm|Sports|Fitness|Travel|Auto|Motor|Rail|Air|Freight|Marine|Home|Kitchen|Furniture|Paper|Print|Steel|Glass
Textile|Chemical|Pharma|Bio|Gene|Medical|Robotics|Quantum|Logic|Micro|Nano|Civic|Public|Community|Housing|Transit|Justice|Children's|Women's|Workers
Property|Street|Census|Market|Price|Trade|Insurance|Pension|Payment|Ledger|Signal|Vector|Matrix|Atlas|Compass|Beacon|Anchor|Lighthouse|Patriot|Victory
""")
ORG_KINDS = _list("""
Group|Holdings|Partners|Associates|Consulting|Solutions|Systems|Technologies|Labs|Laboratories|Studio|Studios|Works|Industries|Enterprises|Ventures
Capital|Bank|Credit Union|Insurance|Foundation|Institute|Association|Society|Council|Committee|Ministry|Department|Agency|Authority|Commission|Bureau
Federation|League|Club|Union|Alliance|Network|Networks|Services|Logistics|Airlines|Airways|Railways|Motors|Foods|Brewery|Bakery|Restaurant|Cafe|Bar
Hotel|Resort|Pharmacy|Clinic|Hospital|Museum|Theatre|Orchestra|Gallery|Library|Church|Press|Times|Post|Magazine|Radio|Records|Entertainment|Pictures
Software|Analytics|Data|Health|Energy|Oil|Gas|Mining|Chemicals|Construction|Builders|Real Estate|Realty|Properties|Stores|Supermarket|Market|Outfitters
Electronics|Telecom|Security|Cleaning|Plumbing|Maintenance|Repairs|Landscaping|Academy|Research Center|Court|Police Department|Fire Department|City Council
""")
COINED = _list("""
zen|vor|lum|quan|tri|mox|nex|syn|opti|vero|cala|dyna|flex|glo|hexa|info|jib|kin|lexi|meta|navi|omni|pix|quil|rove|sona|tele|uni|vita|wave|xeno|yota|zip
agri|bio|cyto|demo|edu|fin|geo|health|insta|job|know|live|map|net|open|pay|quick|real|seed|trend|urban|vend|work|adap|brev|cred|dura|ento|fora|gala|hydro
""")
COINED_ENDS = _list("""
ify|ly|ics|data|soft|scape|tech|base|works|ware|quest|net|link|point|loop|hub|box|nova|tron|dyne|gen|cor|via|ra|ia|ix|on|us|eo|ado|ent|mark|sense|stack
fact|graph|logic|wise|grid|flow|cast|port|path|nest|lab|mind|bit|byte|zon|ario|ella|mint|gram|match|metrics|view|star|bee|cart|shift
""")
SCHOOLS = _list("""
University of {city}|{city} University|{last} College|{city} High School|St. {last} School|{city} State University|Technical University of {city}
{last} Elementary School|{city} Institute of Technology|{city} Business School|{last} Academy|{word} Primary School|{city} School of {word}
""")
PLACES_OF_CARE = _list("""
{city} General Hospital|St. {last} Hospital|{last} Clinic|{city} Medical Center|{last} Memorial Hospital|University Hospital {city}|{city} Dental Practice
""")
LANDMARKS = _list("""
Lake {last}|Mount {last}|{last} Park|{city} Airport|{city} Central Station|{last} Bridge|{last} River|the {last} Mountains|{city} Square|Port {last}|{last} Island
Fort {last}|{last} Beach|{city} Town Hall|{last} Valley|Cape {last}|{last} Hall|{city} Castle
""")
NATIONALITIES = _list("""
American|British|English|Scottish|Welsh|Irish|Canadian|Australian|New Zealander|German|Austrian|Swiss|French|Belgian|Dutch|Danish|Norwegian|Swedish|Finnish
Icelandic|Polish|Czech|Slovak|Slovenian|Croatian|Serbian|Bosnian|Hungarian|Romanian|Bulgarian|Greek|Turkish|Estonian|Latvian|Lithuanian|Russian|Ukrainian
Belarusian|Georgian|Armenian|Spanish|Portuguese|Italian|Maltese|Mexican|Brazilian|Argentinian|Chilean|Peruvian|Colombian|Venezuelan|Cuban|Jamaican|Haitian
Egyptian|Moroccan|Algerian|Tunisian|Nigerian|Ghanaian|Kenyan|Ethiopian|Somali|Ugandan|South African|Zimbabwean|Israeli|Palestinian|Lebanese|Syrian|Iraqi
Iranian|Saudi|Yemeni|Afghan|Pakistani|Indian|Bangladeshi|Sri Lankan|Nepalese|Chinese|Taiwanese|Japanese|Korean|South Korean|Vietnamese|Thai|Cambodian
Laotian|Malaysian|Indonesian|Filipino|Singaporean|Mongolian|Kazakh|Uzbek|Samoan|Fijian|Bolivian|Ecuadorian|Paraguayan|Uruguayan|Panamanian|Guatemalan
""")
RELIGIONS = _list(
    "Muslim|Jewish|Christian|Catholic|Protestant|Hindu|Buddhist|Sikh|Mormon|Baptist|Orthodox|Lutheran|Methodist|Shia|Sunni|Jain|Baha'i|Quaker"
)
PARTIES = _list("Republican|Democratic|Labour|Conservative|Liberal|Socialist|Communist|Green|Democrat|Tory")
RANKS = _list(
    "Senior|Junior|Chief|Deputy|Assistant|Associate|Lead|Principal|Head|Trainee|Interim|Regional|Executive|Freelance|Apprentice|Former|Managing"
)
FIELDS = _list("""
account|accounting|advertising|aerospace|agricultural|aircraft|art|audio|automotive|bakery|bank|benefits|billing|biomedical|brand|broadcast|budget|building
business|cable|call center|car|cargo|chemical|civil|claims|clinical|clothing|commercial|communications|community|compliance|computer|construction|content
control room|cost|credit|crane|curriculum|customer service|data|database|delivery|dental|design|education|electrical|electronics|employment|energy|engine
environmental|equipment|event|export|facilities|fashion|field|film|finance|financial|fire|fitness|food|forest|freight|fuel|furnace|furniture|game|garden
gas|glass|golf|grants|graphic|hardware|health|heating|home|hospital|hotel|housing|human resources|import|industrial|information|insurance|intelligence
inventory|investment|IT|kitchen|labor|laboratory|land|laundry|legal|leisure|library|loan|logistics|machine|mail|maintenance|marine|market|marketing|materials
mechanical|media|medical|metal|mining|mobile|museum|music|network|nuclear|nursing|nutrition|occupational|office|oil|operations|order|packaging|paper|parking
patient|payroll|personnel|pest control|petroleum|pharmacy|physical|pipeline|plant|police|policy|postal|power|press|print|product|production|program|project
property|public|purchasing|quality|radio|railroad|real estate|records|recycling|rehabilitation|research|restaurant|retail|risk|road|safety|sales|school
science|security|sheet metal|ship|shipping|shoe|social|software|solar|sound|special education|sports|stage|steel|stock|store|supply chain|systems|tax
teaching|technical|telephone|test|textile|theatre|ticket|tire|tool|tourism|toy|traffic|training|transport|travel|treasury|tree|truck|tunnel|union|user
vehicle|video|visual|warehouse|waste|water|web|welfare|wildlife|window|wood|youth
""")
ROLES = _list("""
administrator|advisor|agent|aide|analyst|architect|assembler|assistant|attendant|auditor|broker|buyer|cashier|checker|cleaner|clerk|coach|collector
consultant|contractor|controller|coordinator|counselor|designer|developer|director|dispatcher|drafter|driver|editor|engineer|estimator|examiner|executive
fitter|grader|handler|helper|host|inspector|installer|instructor|investigator|keeper|laborer|lawyer|leader|loader|manager|mechanic|monitor|nurse|officer
operator|organizer|painter|pilot|planner|practitioner|presenter|producer|programmer|promoter|recruiter|repairer|representative|researcher|scientist|secretary
setter|specialist|strategist|supervisor|surgeon|surveyor|teacher|technician|technologist|tender|tester|therapist|trader|trainer|welder|worker|writer
""")
TRADES = _list("""
accountant|actor|actuary|anesthetist|anthropologist|archaeologist|archivist|astronomer|attorney|baker|barber|barista|bartender|biologist|blacksmith
boilermaker|bookbinder|bookkeeper|botanist|bricklayer|broker|butcher|captain|cardiologist|carpenter|cartographer|CEO|CFO|CTO|chaplain|chef|chemist
chiropractor|choreographer|cobbler|columnist|comedian|composer|conductor|copywriter|coroner|counsellor|courier|curator|dancer|dentist|dermatologist
detective|dietitian|diplomat|economist|electrician|embalmer|epidemiologist|farmer|firefighter|fisherman|flight attendant|florist|forester|geologist
glazier|goldsmith|graphic designer|gynecologist|hairdresser|historian|housekeeper|hydrologist|illustrator|interpreter|janitor|jeweller|journalist
judge|landscaper|lecturer|librarian|lifeguard|linguist|locksmith|lumberjack|magistrate|mason|mathematician|mayor|meteorologist|midwife|millwright|miner
musician|nanny|neurologist|notary|novelist|nurse|oncologist|optician|optometrist|orthodontist|painter|paralegal|paramedic|pathologist|pediatrician
pharmacist|philosopher|photographer|physicist|physician|physiotherapist|pilot|plasterer|plumber|podiatrist|poet|police officer|politician|porter|priest
president|professor|programmer|proofreader|psychiatrist|psychologist|publisher|radiologist|rancher|receptionist|reporter|roofer|sailor|sculptor
secretary|sergeant|shepherd|singer|social worker|sociologist|software engineer|soldier|sommelier|spokesperson|statistician|stonemason|surgeon|surveyor
tailor|taxi driver|teacher|tiler|toolmaker|translator|treasurer|truck driver|typist|undertaker|upholsterer|urologist|usher|veterinarian|waiter|waitress
warden|watchmaker|weaver|webmaster|welder|zoologist
""")

#: Well-known towns, first names and firms: also what a question must not hold to count as one without entities.
CITIES = _list("""
London|Paris|Berlin|Madrid|Rome|Vienna|Zurich|Amsterdam|Brussels|Copenhagen|Oslo|Stockholm|Helsinki|Dublin|Lisbon|Athens|Istanbul|Moscow|Warsaw|Prague
Budapest|Cairo|Lagos|Nairobi|Johannesburg|Cape Town|Casablanca|Dubai|Tehran|Mumbai|Delhi|Bangalore|Karachi|Dhaka|Bangkok|Jakarta|Manila|Singapore|Hong Kong
Shanghai|Beijing|Tokyo|Osaka|Seoul|Sydney|Melbourne|Perth|Auckland|New York|New York City|Los Angeles|San Francisco|San Diego|San Jose|Seattle|Portland
Las Vegas|Phoenix|Denver|Dallas|Houston|Austin|San Antonio|Chicago|Detroit|Cleveland|Columbus|Boston|Philadelphia|Washington|Baltimore|Atlanta|Miami|Orlando
Tampa|Nashville|Memphis|New Orleans|Minneapolis|Milwaukee|St. Louis|Kansas City|Salt Lake City|Toronto|Montreal|Vancouver|Calgary|Ottawa|Mexico City|Bogota
Lima|Santiago|Buenos Aires|Rio de Janeiro|Sao Paulo|Havana|Honolulu|Hawaii|Texas|California|Florida|Ohio|Nevada|Arizona|Colorado|Virginia|Georgia|Utah
Birmingham|Manchester|Liverpool|Leeds|Glasgow|Edinburgh|Munich|Hamburg|Cologne|Frankfurt|Lyon|Marseille|Barcelona|Milan|Naples|Europe|Asia|Africa|America
""")
FIRST_NAMES = _list("""
James|John|Robert|Michael|Mike|William|Bill|David|Dave|Richard|Joseph|Joe|Thomas|Tom|Charles|Chris|Daniel|Dan|Matthew|Matt|Anthony|Mark|Steven|Steve|Paul
Andrew|Andy|Josh|Ken|Kevin|Brian|George|Tim|Ron|Jason|Ed|Jeff|Ryan|Jacob|Gary|Nick|Eric|Jon|Larry|Scott|Frank|Ben|Greg|Sam|Ray|Pat|Alex|Jack|Dennis|Jerry
Mary|Patricia|Jen|Jennifer|Linda|Liz|Barbara|Susan|Jessica|Sarah|Karen|Lisa|Nancy|Betty|Sandra|Ashley|Kim|Emily|Donna|Michelle|Carol|Amanda|Melissa|Deb
Steph|Rebecca|Sharon|Laura|Cynthia|Amy|Kate|Angela|Shirley|Anna|Ruth|Brenda|Pam|Nicole|Kathy|Sam|Christine|Helen|Rachel|Carolyn|Janet|Maria|Heather|Diane
Julie|Joyce|Vicky|Kelly|Christina|Joan|Evelyn|Lauren|Judith|Olivia|Martha|Cheryl|Megan|Andrea|Ann|Alice|Jean|Doris|Sue|Jane|Bob|Jim|Johnny|Harry|Lucy
""")
BRANDS = _list("""
Google|Apple|Microsoft|Amazon|Facebook|Meta|Netflix|Tesla|Intel|IBM|Oracle|SAP|Siemens|Bosch|Samsung|Sony|Toyota|Honda|Ford|General Motors|Volkswagen|BMW
Nestle|Unilever|Procter & Gamble|Coca-Cola|Pepsi|Starbucks|McDonald's|Burger King|Walmart|Target|Costco|Ikea|Home Depot|Best Buy|Chase|Wells Fargo|Citibank
Bank of America|Capital One|HSBC|Barclays|Deutsche Bank|Goldman Sachs|Morgan Stanley|American Express|Visa|Mastercard|PayPal|Uber|Lyft|Airbnb|Expedia|Delta
United Airlines|Lufthansa|British Airways|Emirates|FedEx|UPS|DHL|Verizon|AT&T|Vodafone|Pfizer|Novartis|Bayer|Shell|BP|Exxon|Boeing|Airbus|NASA|the FBI|UNICEF
the United Nations|the European Union|Harvard|Stanford|MIT|Oxford University|BBC|CNN|the New York Times|Reuters|Spotify|YouTube|Twitter|Reddit|GitHub|Adobe
""")
